"""The service's decision rules on a split: the metrics of each operating point, and the films that it sends to a person."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from service.model.decision import DEFAULT_OPERATING_POINT, Decision, decide
from service.model.findings import DISEASES, FINDINGS, Finding
from service.model.manifest import ModelManifest
from training.evaluation.evidence import Evidence
from training.evaluation.judging.films import JudgedSplit
from training.evaluation.measures.bootstrap import MetricPath, plain
from training.evaluation.measures.confusion import ConfusionMatrix, FilmMask, Floats, Labels
from training.evaluation.part import Measured, Part
from training.evaluation.report.tables import enumerated, number, with_interval
from training.tables import UNDEFINED, markdown_table

_NORMAL = FINDINGS.index(Finding.NORMAL)
_METRICS = ("recall", "specificity", "precision")


def decide_films(split: JudgedSplit, manifest: ModelManifest, point: str = DEFAULT_OPERATING_POINT) -> list[Decision]:
    """The service's decision on each judged film, in the order of `split.judged`. Raises UnknownOperatingPoint."""
    return [decide(each.probabilities.tolist(), manifest, point, each.observed) for each in split.judged]


def called_classes(decisions: Sequence[Decision]) -> Labels:
    """The finding of each decision as an index into FINDINGS, int [N]."""
    return np.array([FINDINGS.index(decision.finding) for decision in decisions])


def callable_diseases(manifest: ModelManifest, point: str) -> tuple[Finding, ...]:
    """The diseases that an operating point can call: all without thresholds, else those with a threshold."""
    thresholds = manifest.operating_points[point].thresholds
    return tuple(disease for disease in DISEASES if not thresholds or disease in thresholds)


def _measure(evidence: Evidence) -> Measured:
    """By operating point (REPORT Table 21): its rule, its metrics with intervals, and its films for review."""
    return {name: _measure_one(evidence, name) for name in sorted(evidence.bundle.manifest.operating_points)}


def _measure_one(evidence: Evidence, name: str) -> dict[str, Any]:
    """Metrics of the diseases that the point can call; accuracy and errors are None unless it can call every disease."""
    manifest, split = evidence.bundle.manifest, evidence.judged()
    judgements, decisions = split.judgements(), decide_films(split, manifest, name)
    called = called_classes(decisions)
    diseases = callable_diseases(manifest, name)
    all_callable = len(diseases) == len(DISEASES)

    def statistics(weights: Floats) -> dict[MetricPath, Floats]:
        matrix = ConfusionMatrix.of(judgements.labels, called, len(FINDINGS), weights)
        values: dict[MetricPath, Floats] = {
            ("per_class", disease.value, metric): getattr(matrix, metric)[..., FINDINGS.index(disease)]
            for disease in diseases
            for metric in _METRICS
        }
        return values | ({("accuracy",): matrix.accuracy} if all_callable else {})

    point = manifest.operating_points[name]
    unflagged = np.array([not decision.review_reasons for decision in decisions])
    reasons = Counter(reason.value for decision in decisions for reason in decision.review_reasons)
    right = called == judgements.labels
    return {
        "description": point.description,
        "thresholds": {finding.value: threshold for finding, threshold in point.thresholds.items()},
        "accuracy": None,
        **evidence.bootstrap.measure(statistics, judgements.groups),
        "review": {
            "films": int(np.sum(~unflagged)),
            "share": plain(np.mean(~unflagged)),
            "reasons": dict(sorted(reasons.items())),
            "accuracy_without": plain(np.mean(right[unflagged])) if unflagged.any() and all_callable else None,
            "errors": _counted(~right, unflagged) if all_callable else None,
            "called_normal": {
                disease.value: _counted((judgements.labels == FINDINGS.index(disease)) & (called == _NORMAL), unflagged)
                for disease in diseases
            },
        },
    }


def _counted(films: FilmMask, unflagged: FilmMask) -> dict[str, int]:
    return {"films": int(np.sum(films)), "unflagged": int(np.sum(films & unflagged))}


def _paragraphs(values: Measured) -> list[str]:
    return [
        "\n".join(f"- `{name}`: {point['description']}" for name, point in values.items()),
        _point_table(values),
        "### Films sent to a person",
        "A film may have several reasons for review. The accuracy is that on the films without any.",
        _review_table(values),
        "Errors that are not sent to a person, and diseased films among them that are called Normal:",
        _unflagged_table(values),
    ]


def _point_table(values: Measured) -> str:
    """Recall, specificity and precision of each disease that a point can call; its accuracy if it can call every disease."""
    rows = [
        (
            name,
            ", ".join(f"{disease} >= {threshold:.3g}" for disease, threshold in point["thresholds"].items()) or "most probable",
            disease,
            *(with_interval(level, metric) for metric in _METRICS),
            with_interval(point, "accuracy"),
        )
        for name, point in values.items()
        for disease, level in point["per_class"].items()
    ]
    return markdown_table(("operating point", "rule", "disease", *_METRICS, "accuracy"), rows)


def _review_table(values: Measured) -> str:
    """How many films each operating point sends to a person, and why."""
    reasons = sorted({reason for point in values.values() for reason in point["review"]["reasons"]})
    rows = [
        (
            name,
            f"{point['review']['films']} ({point['review']['share']:.1%})",
            number(point["review"]["accuracy_without"]),
            *(str(point["review"]["reasons"].get(reason, 0)) for reason in reasons),
        )
        for name, point in values.items()
    ]
    return markdown_table(("operating point", "films for review", "accuracy on the others", *reasons), rows)


def _unflagged_table(values: Measured) -> str:
    """Errors without a reason for review, by operating point; a dash for what the point cannot call."""
    diseases = sorted({disease for point in values.values() for disease in point["review"]["called_normal"]})
    rows = []
    for name, point in values.items():
        review = point["review"]
        counts = [review["errors"], *(review["called_normal"].get(disease) for disease in diseases)]
        rows.append((name, *map(_unflagged_of_all, counts)))
    return markdown_table(("not flagged, at", "errors", *(f"{disease} called Normal" for disease in diseases)), rows)


def _unflagged_of_all(count: dict[str, int] | None) -> str:
    return UNDEFINED if count is None else f"{count['unflagged']} of {count['films']}"


def _limits(values: Measured) -> list[str]:
    """The errors that the default operating point does not send to a person."""
    review = values[DEFAULT_OPERATING_POINT]["review"]
    errors = review["errors"]
    if errors is None or not errors["unflagged"]:
        return []
    called_normal = {name: each for name, each in review["called_normal"].items() if each["films"]}
    missed = [f"{each['unflagged']} of {each['films']} with {name}" for name, each in called_normal.items()]
    return [
        f"Review is no safety net: {errors['unflagged']} of the {errors['films']} errors at `{DEFAULT_OPERATING_POINT}` have "
        "no flag" + (f"; of the diseased films called Normal, {enumerated(missed)} have none." if missed else ".")
    ]


PART = Part("operating_points", "Operating points", _measure, _paragraphs, limits=_limits)
