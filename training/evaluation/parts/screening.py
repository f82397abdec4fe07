"""Tuberculosis against everything else: what the ROC curve allows, and where a threshold of the val split lands."""

import math

import numpy as np
import numpy.typing as npt

from service.model.findings import FINDINGS, Finding
from training.evaluation.measures.bootstrap import FigurePath
from training.evaluation.measures.confusion import ConfusionMatrix, Floats
from training.evaluation.measures.discrimination import auc, sensitivity_at_specificity, specificity_at_sensitivity
from training.evaluation.measures.intervals import interval_figures, plain
from training.evaluation.measures.metrics import Judgements
from training.evaluation.part import Evidence, Measured, NotMeasured, Part, draw_nothing
from training.evaluation.report.tables import landing_table, roc_point_table

_TUBERCULOSIS = FINDINGS.index(Finding.TUBERCULOSIS)

# Target product profile of the WHO for a triage test (2014): at least 90 % sensitivity, better 95 %.
SENSITIVITIES = (0.90, 0.95)
SPECIFICITIES = (0.90, 0.95)


def threshold_of_sensitivity(positive: npt.NDArray[np.bool_], scores: Floats, sensitivity: float) -> float:
    """The highest threshold that at least this share of the positive films reach; at least one film is positive."""
    descending = np.sort(scores[positive])[::-1]
    return float(descending[math.ceil(sensitivity * len(descending) - 1e-9) - 1])  # 0.9 * 10 must not exceed 9


def _measure(evidence: Evidence) -> Measured:
    """Points of the evaluated split's ROC curve, and the landing of thresholds that were chosen on the val split."""
    reference, judged = evidence.judged("val").judgements(), evidence.judged().judgements()
    for split, judgements in (("val", reference), (evidence.split, judged)):
        if not (judgements.labels == _TUBERCULOSIS).any():
            raise NotMeasured(f"the {split} split has no film of {Finding.TUBERCULOSIS.value}")
    thresholds = {str(wanted): threshold_of_sensitivity(*_scored(reference), wanted) for wanted in SENSITIVITIES}

    def statistics(weights: Floats) -> dict[FigurePath, Floats]:
        positive, scores = _scored(judged)
        figures: dict[FigurePath, Floats] = {("curve", "auc"): auc(positive, scores, weights)}
        for wanted in SPECIFICITIES:
            sensitivity = sensitivity_at_specificity(positive, scores, wanted, weights)
            figures["curve", "sensitivity_at_specificity", str(wanted)] = sensitivity
        for wanted in SENSITIVITIES:
            specificity = specificity_at_sensitivity(positive, scores, wanted, weights)
            figures["curve", "specificity_at_sensitivity", str(wanted)] = specificity
        for name, threshold in thresholds.items():
            figures |= {("landed", name, *path): values for path, values in _landing(judged, threshold, weights).items()}
        return figures

    unweighted = np.ones((1, len(reference.labels)))
    on_val = {
        name: {
            path[-1]: round(float(value[0]), 6) for path, value in _landing(reference, at, unweighted).items() if len(path) == 1
        }
        for name, at in thresholds.items()
    }
    return {
        "split": evidence.split,
        "thresholds": {name: plain(threshold) for name, threshold in thresholds.items()},
        "on_val": on_val,
        **interval_figures(statistics, judged.groups, seed=evidence.seed, resamples=evidence.resamples),
    }


def _scored(judgements: Judgements) -> tuple[npt.NDArray[np.bool_], Floats]:
    return judgements.labels == _TUBERCULOSIS, judgements.probabilities[:, _TUBERCULOSIS]


def _landing(judgements: Judgements, threshold: float, weights: Floats) -> dict[FigurePath, Floats]:
    """Sensitivity and specificity of the threshold over all films, and within each source that has both kinds."""
    positive, scores = _scored(judgements)
    everywhere = np.ones(len(positive), dtype=bool)
    places: dict[FigurePath, npt.NDArray[np.bool_]] = {(): everywhere}
    for source in judgements.source_names:
        chosen = judgements.of_source(source)
        if positive[chosen].any() and not positive[chosen].all():
            places["per_source", source] = chosen
    figures: dict[FigurePath, Floats] = {}
    for where, chosen in places.items():
        truth, called = positive[chosen].astype(np.intp), (scores[chosen] >= threshold).astype(np.intp)
        matrix = ConfusionMatrix.of(truth, called, 2, weights[..., chosen])
        figures[*where, "sensitivity"], figures[*where, "specificity"] = matrix.recall[..., 1], matrix.specificity[..., 1]
    return figures


def _describe(values: Measured) -> str:
    chosen_on_itself = " Here that is the split itself, so the landing is no evidence." if values["split"] == "val" else ""
    return "\n\n".join(
        [
            "The probability of tuberculosis as a test for it. What the ROC curve allows, its thresholds chosen on these very "
            "films:",
            roc_point_table(values),
            "Thresholds chosen on the val split for a sensitivity, and where they land on these films, over all of them and "
            f"within the sources that have films with and without tuberculosis.{chosen_on_itself}",
            landing_table(values),
        ]
    )


def _limits(values: Measured) -> list[str]:
    """Sources where a threshold of the val split misses its sensitivity by more than chance."""
    sentences = []
    for wanted, landed in values["landed"].items():
        for source, each in landed.get("per_source", {}).items():
            sensitivity, (low, high) = each["sensitivity"], each["interval_95"]["sensitivity"]
            if high < float(wanted):
                sentences.append(
                    f"A threshold with {float(wanted):.0%} sensitivity for tuberculosis on the val split has {sensitivity:.1%} "
                    f"({low:.1%} to {high:.1%}) on the films of {source}."
                )
    return sentences


PART = Part("screening", "Tuberculosis screening", _measure, _describe, draw_nothing, _limits)
