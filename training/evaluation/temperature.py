"""Calibration before and after the temperature: what dividing the logits by one number (arXiv:1706.04599) is good for."""

import numpy as np

from service.contract.findings import FINDINGS
from training.evaluation.bootstrap import FigurePath
from training.evaluation.calibration import (
    ECE_BINS,
    brier_score,
    equal_mass_ece,
    expected_calibration_error,
    log_loss,
    one_vs_rest_ece,
    top_label_ece,
)
from training.evaluation.confusion import Floats, mean_of_defined
from training.evaluation.figures import RELIABILITY_NAME
from training.evaluation.interval_figures import interval_figures
from training.evaluation.metrics import Judgements
from training.evaluation.parts import Evidence, Measured, Part, draw_nothing
from training.evaluation.tables import calibration_table, classwise_calibration_table, picture

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
        **interval_figures(statistics, groups, seed=evidence.seed, resamples=evidence.resamples),
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
            picture("Reliability diagrams", RELIABILITY_NAME),
        ]
    )


PART = Part("calibration", "Calibration", _measure, _describe, draw_nothing)
