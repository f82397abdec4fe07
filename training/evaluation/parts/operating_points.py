"""What the service's decision rules make of a split: its operating points, and how many films they send to a person."""

from collections import Counter
from typing import Any

import numpy as np
import numpy.typing as npt

from service.model.decision import DEFAULT_OPERATING_POINT, Decision, decide
from service.model.findings import DISEASES, FINDINGS, Finding
from service.model.manifest import ModelManifest
from training.evaluation.judging.films import JudgedSplit
from training.evaluation.measures.bootstrap import FigurePath
from training.evaluation.measures.confusion import ConfusionMatrix, Floats, Labels
from training.evaluation.measures.intervals import interval_figures, plain
from training.evaluation.part import Evidence, Measured, Part, draw_nothing
from training.evaluation.report.tables import enumerated, operating_point_table, review_table, unflagged_table

_NORMAL = FINDINGS.index(Finding.NORMAL)
_FIGURES = ("recall", "specificity", "precision")


def decide_films(split: JudgedSplit, manifest: ModelManifest, point: str = DEFAULT_OPERATING_POINT) -> list[Decision]:
    """The service's decision on each judged film, in their order. Raises UnknownOperatingPoint."""
    return [decide(each.probabilities.tolist(), manifest, point, each.observed) for each in split.judged]


def called_at(split: JudgedSplit, manifest: ModelManifest, point: str) -> Labels:
    """What an operating point calls each judged film, int [N], indices into FINDINGS."""
    return np.array([FINDINGS.index(decision.finding) for decision in decide_films(split, manifest, point)])


def callable_diseases(manifest: ModelManifest, point: str) -> tuple[Finding, ...]:
    """The diseases that an operating point can call at all."""
    thresholds = manifest.operating_points[point].thresholds
    return tuple(disease for disease in DISEASES if not thresholds or disease in thresholds)


def _measure(evidence: Evidence) -> Measured:
    """By name of the operating point (REPORT Table 21): its rule, its figures with intervals, and whom it sends to a person."""
    return {name: _measure_one(evidence, name) for name in sorted(evidence.bundle.manifest.operating_points)}


def _measure_one(evidence: Evidence, name: str) -> dict[str, Any]:
    """Figures of the diseases that the point can call; accuracy is None unless it can call them all."""
    manifest, split = evidence.bundle.manifest, evidence.judged()
    judgements, decisions = split.judgements(), decide_films(split, manifest, name)
    called = called_at(split, manifest, name)
    diseases = callable_diseases(manifest, name)
    all_callable = len(diseases) == len(DISEASES)

    def statistics(weights: Floats) -> dict[FigurePath, Floats]:
        matrix = ConfusionMatrix.of(judgements.labels, called, len(FINDINGS), weights)
        figures: dict[FigurePath, Floats] = {
            ("per_class", disease.value, figure): getattr(matrix, figure)[..., FINDINGS.index(disease)]
            for disease in diseases
            for figure in _FIGURES
        }
        return figures | ({("accuracy",): matrix.accuracy} if all_callable else {})

    point = manifest.operating_points[name]
    alone = np.array([not decision.review_reasons for decision in decisions])
    reasons = Counter(reason.value for decision in decisions for reason in decision.review_reasons)
    right = called == judgements.labels
    return {
        "description": point.description,
        "thresholds": {finding.value: threshold for finding, threshold in point.thresholds.items()},
        "accuracy": None,
        **interval_figures(statistics, judgements.groups, seed=evidence.seed, resamples=evidence.resamples),
        "review": {
            "films": int(np.sum(~alone)),
            "share": plain(np.mean(~alone)),
            "reasons": dict(sorted(reasons.items())),
            "accuracy_without": plain(np.mean(right[alone])) if alone.any() and all_callable else None,
            "errors": _counted(~right, alone) if all_callable else None,
            "called_normal": {
                disease.value: _counted((judgements.labels == FINDINGS.index(disease)) & (called == _NORMAL), alone)
                for disease in diseases
            },
        },
    }


def _counted(films: npt.NDArray[np.bool_], unflagged: npt.NDArray[np.bool_]) -> dict[str, int]:
    return {"films": int(np.sum(films)), "unflagged": int(np.sum(films & unflagged))}


def _describe(values: Measured) -> str:
    return "\n\n".join(
        [
            "\n".join(f"- `{name}`: {point['description']}" for name, point in values.items()),
            operating_point_table(values),
            "### Films sent to a person",
            "A film may have several reasons. The accuracy is that on the films without any.",
            review_table(values),
            "What nobody would be shown: errors, and diseased films called Normal, that no reason for review catches.",
            unflagged_table(values),
        ]
    )


def _limits(values: Measured) -> list[str]:
    """What review does not catch at the operating point that the service takes unless told otherwise."""
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


PART = Part("operating_points", "Operating points", _measure, _describe, draw_nothing, _limits)
