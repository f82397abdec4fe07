"""Calibration before and after the temperature: what dividing the logits by one number (arXiv:1706.04599) is good for."""

from typing import Any

import numpy as np

from service.model.findings import FINDINGS
from training.evaluation.measures.bootstrap import FigurePath
from training.evaluation.measures.calibration import (
    ECE_BINS,
    brier_score,
    equal_mass_ece,
    expected_calibration_error,
    log_loss,
    one_vs_rest_ece,
    top_label_ece,
)
from training.evaluation.measures.confusion import Floats, mean_of_defined
from training.evaluation.measures.intervals import interval_figures, plain
from training.evaluation.measures.metrics import Judgements
from training.evaluation.part import Evidence, Measured, Part, draw_nothing
from training.evaluation.report.plots import RELIABILITY_NAME
from training.evaluation.report.tables import calibration_table, classwise_calibration_table, picture

# Draws of labels behind what perfect calibration would score.
_CONSISTENCY_DRAWS = 500

_ERRORS = {"equal_width": expected_calibration_error, "equal_mass": equal_mass_ece}


def _measure(evidence: Evidence) -> Measured:
    """Figures of the probabilities as released (after) and at temperature 1 (before), each with its intervals."""
    split = evidence.judged()
    stages = {"before": split.uncalibrated(), "after": split.judgements()}

    def statistics(weights: Floats) -> dict[FigurePath, Floats]:
        return {
            (stage, *path): values
            for stage, judgements in stages.items()
            for path, values in _figures(judgements, weights).items()
        }

    groups = stages["after"].groups
    return {
        "temperature": evidence.bundle.manifest.temperature,
        "bins": ECE_BINS,
        "if_calibrated": _if_calibrated(stages["after"].probabilities, evidence.seed),
        **interval_figures(statistics, groups, seed=evidence.seed, resamples=evidence.resamples),
    }


def _if_calibrated(probabilities: Floats, seed: int) -> dict[str, Any]:
    """Macro ECE (equal width) of labels drawn from the probabilities, which are then true: the share of the measured one that
    is owed to the number of films (consistency resampling, Broecker & Smith 2007, Weather and Forecasting 22).
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


def _figures(judgements: Judgements, weights: Floats) -> dict[FigurePath, Floats]:
    labels, probabilities = judgements.labels, judgements.probabilities
    figures: dict[FigurePath, Floats] = {
        ("brier_score",): brier_score(labels, probabilities, weights),
        ("log_loss",): log_loss(labels, probabilities, weights),
    }
    for binning, error in _ERRORS.items():
        classwise = one_vs_rest_ece(labels, probabilities, weights, error)
        figures[f"top_label_ece_{binning}",] = top_label_ece(labels, probabilities, weights, error)
        figures[f"macro_ece_{binning}",] = mean_of_defined(classwise)
        for index, finding in enumerate(FINDINGS):
            figures["per_class", finding.value, f"ece_{binning}"] = np.asarray(classwise[..., index])
    return figures


def _describe(values: Measured) -> str:
    return "\n\n".join(
        [
            f"The logits are divided by {values['temperature']:.3f}, as fitted on the val split; before means divided by 1. "
            f"ECE has {values['bins']} bins, of equal width or of equal mass. The top-label ECE judges the largest "
            "probability, the classwise ECE the probability of each class; the macro ECE is the mean of the "
            "latter. Smaller is better.",
            calibration_table(values),
            classwise_calibration_table(values),
            _describe_if_calibrated(values),
            picture("Reliability diagrams", RELIABILITY_NAME),
        ]
    )


def _describe_if_calibrated(values: Measured) -> str:
    floor, measured = values["if_calibrated"], values["after"]["macro_ece_equal_width"]
    words = (
        "The ECE of few films is too large, and its intervals keep that bias: labels drawn from these very probabilities, "
        f"which are then true, give a macro ECE (equal width) of {floor['macro_ece_equal_width']:.3f} on average, and of less "
        f"than {floor['quantile_95']:.3f} in 95 % of {floor['draws']} draws. "
    )
    if measured <= floor["quantile_95"]:
        return words + f"The measured {measured:.3f} cannot be told from perfect calibration."
    return words + f"The measured {measured:.3f} is more than that."


PART = Part("calibration", "Calibration", _measure, _describe, draw_nothing)
