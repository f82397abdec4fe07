"""Tuberculosis against the other classes: points of the ROC curve, and what a threshold of the val split does elsewhere."""

import math

import numpy as np
import numpy.typing as npt

from service.model.findings import FINDINGS, Finding
from training.evaluation.evidence import Evidence, NotMeasured
from training.evaluation.measures.bootstrap import MetricPath, plain, plain_values, without_intervals
from training.evaluation.measures.confusion import ConfusionMatrix, Floats
from training.evaluation.measures.discrimination import auc, sensitivity_at_specificity, specificity_at_sensitivity
from training.evaluation.measures.metrics import Judgements
from training.evaluation.part import Measured, Part
from training.evaluation.report.tables import number, with_interval
from training.tables import markdown_table

_TUBERCULOSIS = FINDINGS.index(Finding.TUBERCULOSIS)

# Target product profile of the WHO for a triage test (2014): at least 90 % sensitivity, better 95 %.
SENSITIVITIES = (0.90, 0.95)
SPECIFICITIES = (0.90, 0.95)


def threshold_of_sensitivity(positive: npt.NDArray[np.bool_], scores: Floats, sensitivity: float) -> float:
    """The highest threshold that at least this share of the positive films reach; needs a positive film."""
    descending = np.sort(scores[positive])[::-1]
    return float(descending[math.ceil(sensitivity * len(descending) - 1e-9) - 1])  # 0.9 * 10 must not exceed 9


def _measure(evidence: Evidence) -> Measured:
    """Points of the evaluated split's ROC curve, and what thresholds chosen on the val split reach on the evaluated one."""
    reference, judged = evidence.judged("val").judgements(), evidence.judged().judgements()
    for split, judgements in (("val", reference), (evidence.split, judged)):
        if not (judgements.labels == _TUBERCULOSIS).any():
            raise NotMeasured(f"the {split} split has no film of {Finding.TUBERCULOSIS.value}")
    thresholds = {str(wanted): threshold_of_sensitivity(*_scored(reference), wanted) for wanted in SENSITIVITIES}

    def statistics(weights: Floats) -> dict[MetricPath, Floats]:
        positive, scores = _scored(judged)
        values: dict[MetricPath, Floats] = {("curve", "auc"): auc(positive, scores, weights)}
        for wanted in SPECIFICITIES:
            sensitivity = sensitivity_at_specificity(positive, scores, wanted, weights)
            values["curve", "sensitivity_at_specificity", str(wanted)] = sensitivity
        for wanted in SENSITIVITIES:
            specificity = specificity_at_sensitivity(positive, scores, wanted, weights)
            values["curve", "specificity_at_sensitivity", str(wanted)] = specificity
        for name, threshold in thresholds.items():
            values |= {("landed", name, *path): value for path, value in _landing(judged, threshold, weights).items()}
        return values

    def on_val(weights: Floats) -> dict[MetricPath, Floats]:
        return {
            (name, *path): value
            for name, threshold in thresholds.items()
            for path, value in _landing(reference, threshold, weights).items()
            if len(path) == 1
        }

    return {
        "split": evidence.split,
        "thresholds": {name: plain(threshold) for name, threshold in thresholds.items()},
        "on_val": plain_values(on_val, len(reference.labels)),
        **evidence.bootstrap.measure(statistics, judged.groups),
    }


def _scored(judgements: Judgements) -> tuple[npt.NDArray[np.bool_], Floats]:
    return judgements.labels == _TUBERCULOSIS, judgements.probabilities[:, _TUBERCULOSIS]


def _landing(judgements: Judgements, threshold: float, weights: Floats) -> dict[MetricPath, Floats]:
    """Sensitivity and specificity of the threshold on all films, and in each source with films with and without the disease."""
    positive, scores = _scored(judgements)
    levels: dict[MetricPath, npt.NDArray[np.bool_]] = {(): np.ones(len(positive), dtype=bool)}
    for source in judgements.source_names:
        chosen = judgements.of_source(source)
        if positive[chosen].any() and not positive[chosen].all():
            levels["per_source", source] = chosen
    values: dict[MetricPath, Floats] = {}
    for where, chosen in levels.items():
        truth, called = positive[chosen].astype(np.intp), (scores[chosen] >= threshold).astype(np.intp)
        matrix = ConfusionMatrix.of(truth, called, 2, weights[..., chosen])
        values[*where, "sensitivity"], values[*where, "specificity"] = matrix.recall[..., 1], matrix.specificity[..., 1]
    return values


def _paragraphs(values: Measured) -> list[str]:
    chosen_on_itself = " Here that is the split itself, so these values are no evidence." if values["split"] == "val" else ""
    return [
        "The probability of tuberculosis as a test for it. What the ROC curve allows, its thresholds chosen on these very "
        "films:",
        _roc_point_table(values["curve"]),
        "Thresholds chosen on the val split for a sensitivity, and what they reach on these films: on all of them, and within "
        f"the sources that have films with and without tuberculosis.{chosen_on_itself}",
        _landing_table(values),
    ]


def _roc_point_table(curve: Measured) -> str:
    rows = [("AUC", with_interval(curve, "auc"))]
    for name, given in (("sensitivity", "specificity"), ("specificity", "sensitivity")):
        points = curve[f"{name}_at_{given}"]
        rows += [(f"{name} at {given} >= {float(at):.0%}", with_interval(points, at)) for at in without_intervals(points)]
    return markdown_table(("metric", "value (95 % interval)"), rows)


def _landing_table(values: Measured) -> str:
    """Sensitivity and specificity of each threshold on the val split, on all evaluated films, and within sources."""
    rows = []
    for wanted, landed in values["landed"].items():
        chosen = (f"{float(wanted):.0%}", number(values["thresholds"][wanted]))
        on_val = values["on_val"][wanted]
        rows.append((*chosen, "val, all films", number(on_val["sensitivity"]), number(on_val["specificity"])))
        for where, each in {f"{values['split']}, all films": landed, **landed.get("per_source", {})}.items():
            rows.append((*chosen, where, with_interval(each, "sensitivity"), with_interval(each, "specificity")))
    return markdown_table(("wanted on val", "threshold", "films", "sensitivity", "specificity"), rows)


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


PART = Part("screening", "Tuberculosis screening", _measure, _paragraphs, limits=_limits)
