"""Calibration of the probabilities before and after temperature scaling (arXiv:1706.04599)."""

from typing import Any

import numpy as np

from service.model.findings import FINDINGS
from training.evaluation.evidence import Evidence
from training.evaluation.measures.bootstrap import MetricPath, plain
from training.evaluation.measures.calibration import (
    ECE_BINS,
    brier_score,
    log_loss,
    one_vs_rest_ece,
    top_label_ece,
)
from training.evaluation.measures.confusion import Floats, mean_of_defined
from training.evaluation.measures.metrics import Judgements
from training.evaluation.part import Measured, Part
from training.evaluation.report.plots import RELIABILITY_NAME
from training.evaluation.report.tables import number, with_interval
from training.tables import markdown_table, picture

# Draws of labels behind what perfect calibration would score.
_CONSISTENCY_DRAWS = 500

_LABELS = {
    "macro_ece_equal_width": "Macro ECE",
    "top_label_ece_equal_width": "Top-label ECE",
    "brier_score": "Brier score",
    "log_loss": "Log loss (nats)",
}
_STAGES = ("before", "after (95 % interval)")


def _measure(evidence: Evidence) -> Measured:
    """Errors of the probabilities as released (after) and at temperature 1 (before), with intervals."""
    split = evidence.judged()
    stages = {"before": split.uncalibrated(), "after": split.judgements()}

    def statistics(weights: Floats) -> dict[MetricPath, Floats]:
        return {
            (stage, *path): values
            for stage, judgements in stages.items()
            for path, values in _errors(judgements, weights).items()
        }

    return {
        "temperature": evidence.bundle.manifest.temperature,
        "bins": ECE_BINS,
        "if_calibrated": _if_calibrated(stages["after"].probabilities, evidence.bootstrap.seed),
        **evidence.bootstrap.measure(statistics, stages["after"].groups),
    }


def _if_calibrated(probabilities: Floats, seed: int) -> dict[str, Any]:
    """Macro ECE (equal width) of labels that are drawn from the probabilities, so that these are perfectly calibrated: what the
    number of films adds to the measured error (consistency resampling, Broecker & Smith 2007, Weather and Forecasting 22).
    """
    rng = np.random.default_rng(seed)
    steps = probabilities.cumsum(axis=1)[:, :-1]
    errors = [
        one_vs_rest_ece((rng.random((len(steps), 1)) > steps).sum(axis=1), probabilities).mean()
        for _ in range(_CONSISTENCY_DRAWS)
    ]
    return {
        "draws": _CONSISTENCY_DRAWS,
        "macro_ece_equal_width": plain(np.mean(errors)),
        "quantile_95": plain(np.quantile(errors, 0.95)),
    }


def _errors(judgements: Judgements, weights: Floats) -> dict[MetricPath, Floats]:
    labels, probabilities = judgements.labels, judgements.probabilities
    classwise = one_vs_rest_ece(labels, probabilities, weights)
    values: dict[MetricPath, Floats] = {
        ("brier_score",): brier_score(labels, probabilities, weights),
        ("log_loss",): log_loss(labels, probabilities, weights),
        ("top_label_ece_equal_width",): top_label_ece(labels, probabilities, weights),
        ("macro_ece_equal_width",): mean_of_defined(classwise),
    }
    for index, finding in enumerate(FINDINGS):
        values["per_class", finding.value, "ece_equal_width"] = np.asarray(classwise[..., index])
    return values


def _paragraphs(values: Measured) -> list[str]:
    return [
        f"The logits are divided by {values['temperature']:.3f}, as fitted on the val split; before means divided by 1. "
        f"ECE has {values['bins']} bins of equal width. The top-label ECE judges the largest "
        "probability, the classwise ECE the probability of each class; the macro ECE is the mean of the "
        "latter. Smaller is better.",
        _table(values),
        _classwise_table(values),
        _if_calibrated_text(values),
        picture("Reliability diagrams", RELIABILITY_NAME),
    ]


def _table(values: Measured) -> str:
    rows = [(label, number(values["before"][name]), with_interval(values["after"], name)) for name, label in _LABELS.items()]
    return markdown_table(("metric", *_STAGES), rows)


def _classwise_table(values: Measured) -> str:
    rows = [
        (finding, number(values["before"]["per_class"][finding]["ece_equal_width"]), with_interval(after, "ece_equal_width"))
        for finding, after in values["after"]["per_class"].items()
    ]
    return markdown_table(("class", *(f"ECE {stage}" for stage in _STAGES)), rows)


def _if_calibrated_text(values: Measured) -> str:
    floor, measured = values["if_calibrated"], values["after"]["macro_ece_equal_width"]
    words = (
        "The ECE of few films is too large, and its intervals keep that bias: labels drawn from these very probabilities, "
        f"which are then true, give a macro ECE of {floor['macro_ece_equal_width']:.3f} on average, and of less "
        f"than {floor['quantile_95']:.3f} in 95 % of {floor['draws']} draws. "
    )
    if measured <= floor["quantile_95"]:
        return words + f"The measured {measured:.3f} cannot be told from perfect calibration."
    return words + f"The measured {measured:.3f} is more than that."


PART = Part("calibration", "Calibration", _measure, _paragraphs)
