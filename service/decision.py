"""Calibrated probabilities -> what to call the film, and whether a person must look. Pure; thresholds are the manifest's."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from service.contract.errors import UnknownFinding, UnknownOperatingPoint
from service.contract.findings import FINDINGS, Finding
from service.contract.manifest import ModelManifest, OperatingPoint

DEFAULT_OPERATING_POINT = "balanced"


class ReviewReason(StrEnum):
    """Why a person must look."""

    LOW_CONFIDENCE = "low_confidence"
    AMBIGUOUS = "ambiguous"
    OPERATING_POINT_DISAGREES = "operating_point_disagrees"


@dataclass(frozen=True)
class Decision:
    """What is said of one film.

    finding: the operating point's call. confidence: the probability of that call, 0..1.
    prediction_set: the conformal set at the manifest's coverage, most probable first; may be empty.
    review_reasons: empty if no review is required.
    """

    finding: Finding
    confidence: float
    prediction_set: tuple[Finding, ...]
    review_reasons: tuple[ReviewReason, ...]


def decide(probabilities: Sequence[float], manifest: ModelManifest, operating_point: str = DEFAULT_OPERATING_POINT) -> Decision:
    """Apply an operating point, the conformal set and the review rules to calibrated probabilities [3], order of `FINDINGS`.

    Raises UnknownOperatingPoint if the manifest has none of that name.
    """
    by_finding = {finding: float(value) for finding, value in zip(FINDINGS, probabilities, strict=True)}
    most_probable = max(FINDINGS, key=by_finding.__getitem__)
    finding = call(by_finding, find_operating_point(manifest, operating_point))
    prediction_set = conformal_set(by_finding, manifest.conformal.quantile)
    rules = (
        (ReviewReason.LOW_CONFIDENCE, by_finding[most_probable] < manifest.review.low_confidence_below),
        (ReviewReason.AMBIGUOUS, len(prediction_set) != 1),
        (ReviewReason.OPERATING_POINT_DISAGREES, finding is not most_probable),
    )
    return Decision(
        finding=finding,
        confidence=by_finding[finding],
        prediction_set=prediction_set,
        review_reasons=tuple(reason for reason, holds in rules if holds),
    )


def call(probabilities: dict[Finding, float], point: OperatingPoint) -> Finding:
    """The finding that an operating point calls; see `OperatingPoint` for the rule."""
    if not point.thresholds:
        return max(FINDINGS, key=probabilities.__getitem__)
    reached = {
        disease: probabilities[disease] / threshold
        for disease, threshold in point.thresholds.items()
        if probabilities[disease] >= threshold
    }
    return max(reached, key=reached.__getitem__) if reached else Finding.NORMAL


def conformal_set(probabilities: dict[Finding, float], quantile: float) -> tuple[Finding, ...]:
    """Each finding whose probability is at least 1 - quantile, most probable first (see `ConformalSpec`)."""
    # Comparing 1 - p with the quantile, as calibration does, keeps a score equal to the quantile inside the set.
    kept = [finding for finding in FINDINGS if 1.0 - probabilities[finding] <= quantile]
    return tuple(sorted(kept, key=probabilities.__getitem__, reverse=True))


def find_operating_point(manifest: ModelManifest, name: str) -> OperatingPoint:
    """Look one up by name. Raises UnknownOperatingPoint."""
    try:
        return manifest.operating_points[name]
    except KeyError:
        known = ", ".join(sorted(manifest.operating_points))
        raise UnknownOperatingPoint(f"There is no operating point {name[:64]!r}; choose one of: {known}.") from None


def find_finding(name: str) -> Finding:
    """The finding of that name, as spelled in `FINDINGS`. Raises UnknownFinding."""
    try:
        return Finding(name)
    except ValueError:
        known = ", ".join(finding.value for finding in FINDINGS)
        raise UnknownFinding(f"There is no finding {name[:64]!r}; choose one of: {known}.") from None
