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

# How often labels are drawn to see what perfect calibration would measure.
_CONSISTENCY_DRAWS = 500

_TITLES = {
    "macro_ece_equal_width": "Macro ECE",
    "top_label_ece_equal_width": "Top-label ECE",
    "brier_score": "Brier score",
    "log_loss": "Log loss (nats)",
}
_STAGES = ("before", "after (95 % interval)")


def _measure(evidence: Evidence) -> Measured:
    """Calibration errors at temperature 1 (`before`) and as released (`after`), with intervals."""
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
    """Macro ECE that perfectly calibrated probabilities would have on as many films; it is above 0 by chance.

    Labels are drawn from the probabilities, [N, C], so that these are true by construction (consistency resampling, Broecker &
    Smith 2007, Weather and Forecasting 22).
    """
    rng = np.random.default_rng(seed)
    cumulative = probabilities.cumsum(axis=1)[:, :-1]
    errors = [
        one_vs_rest_ece((rng.random((len(cumulative), 1)) > cumulative).sum(axis=1), probabilities).mean()
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
        f"The temperature, {values['temperature']:.3f}, was fitted on the val split; `before` is at temperature 1. ECE has "
        f"{values['bins']} bins of equal width. The top-label ECE judges the largest probability, the classwise ECE the "
        "probability of each class; the macro ECE is the mean of the classwise ones. Smaller is better.",
        _table(values),
        _classwise_table(values),
        _if_calibrated_text(values),
        picture("Reliability diagrams", RELIABILITY_NAME),
    ]


def _table(values: Measured) -> str:
    rows = [(label, number(values["before"][name]), with_interval(values["after"], name)) for name, label in _TITLES.items()]
    return markdown_table(("metric", *_STAGES), rows)


def _classwise_table(values: Measured) -> str:
    rows = [
        (finding, number(values["before"]["per_class"][finding]["ece_equal_width"]), with_interval(after, "ece_equal_width"))
        for finding, after in values["after"]["per_class"].items()
    ]
    return markdown_table(("class", *(f"ECE {stage}" for stage in _STAGES)), rows)


def _if_calibrated_text(values: Measured) -> str:
    calibrated, measured = values["if_calibrated"], values["after"]["macro_ece_equal_width"]
    text = (
        "ECE is biased upwards on few films, and its intervals keep that bias. If these very probabilities were perfectly "
        f"calibrated, the macro ECE would be {calibrated['macro_ece_equal_width']:.3f} on average, and less than "
        f"{calibrated['quantile_95']:.3f} in 95 % of {calibrated['draws']} draws of labels. "
    )
    if measured <= calibrated["quantile_95"]:
        return text + f"The measured {measured:.3f} cannot be told from perfect calibration."
    return text + f"The measured {measured:.3f} is more than that."


PART = Part("calibration", "Calibration", _measure, _paragraphs)
