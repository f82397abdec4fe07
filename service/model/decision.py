"""Decision rules: calibrated probabilities and measurements of the film -> a finding, and whether a person must look.

Pure functions; every threshold comes from the manifest.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from service.model.errors import UnknownFinding, UnknownOperatingPoint
from service.model.findings import FINDINGS, Finding
from service.model.manifest import ConformalSpec, ImageStatistic, ModelManifest, OperatingPoint, OutlierSpec

DEFAULT_OPERATING_POINT = "balanced"


class ReviewReason(StrEnum):
    """Why a person must look at a film.

    low_confidence: the largest probability is low.
    ambiguous: the prediction set does not hold exactly one finding.
    out_of_distribution: the embedding lies far from those of the training films.
    not_frontal_chest: the picture is coloured, has an unusual shape, or does not resemble a frontal chest film (another body
        part, turned, or with inverted grey values); or a DICOM header says so.
    image_quality: blank, under- or overexposed, or blurred; or a DICOM header asks for an impossible window or rescaling.
    operating_point_disagrees: the operating point does not call the most probable finding.
    """

    LOW_CONFIDENCE = "low_confidence"
    AMBIGUOUS = "ambiguous"
    OUT_OF_DISTRIBUTION = "out_of_distribution"
    NOT_FRONTAL_CHEST = "not_frontal_chest"
    IMAGE_QUALITY = "image_quality"
    OPERATING_POINT_DISAGREES = "operating_point_disagrees"


# The reason that follows from a statistic outside its bounds. The first three depend on what the picture shows, the others on
# how the film was taken or copied: another copy may be better.
REASON_OF: Mapping[ImageStatistic, ReviewReason] = {
    "chroma": ReviewReason.NOT_FRONTAL_CHEST,
    "aspect_ratio": ReviewReason.NOT_FRONTAL_CHEST,
    "resemblance": ReviewReason.NOT_FRONTAL_CHEST,
    "mean": ReviewReason.IMAGE_QUALITY,
    "contrast": ReviewReason.IMAGE_QUALITY,
    "sharpness": ReviewReason.IMAGE_QUALITY,
}


@dataclass(frozen=True)
class Observed:
    """Measurements of a film, beside its probabilities."""

    # See `service.model.outliers.outlier_score`; None if the bundle has no statistics of its training films
    outlier_score: float | None = None
    # Name -> value; see `service.model.image_checks.image_statistics`. Some may be missing
    image: Mapping[str, float] = field(default_factory=dict)
    denies_frontal_chest: bool = False  # whether the file itself states that it is no frontal chest film
    display_fault: str = ""  # why the grey values are not shown as the file asks, "" if they are; see `Radiograph`


NOTHING_OBSERVED = Observed()

# Reasons that follow from the film itself, not from its probabilities.
FILM_REASONS = (ReviewReason.OUT_OF_DISTRIBUTION, ReviewReason.NOT_FRONTAL_CHEST, ReviewReason.IMAGE_QUALITY)


@dataclass(frozen=True)
class Decision:
    """The answer for one film."""

    finding: Finding  # the finding that the operating point calls
    confidence: float  # calibrated probability of `finding`, 0..1
    prediction_set: tuple[Finding, ...]  # conformal set at the manifest's coverage, most probable finding first; may be empty
    review_reasons: tuple[ReviewReason, ...]  # why a person must look at the film; empty if nobody must

    @property
    def review_required(self) -> bool:
        """Whether a person must look at the film."""
        return bool(self.review_reasons)


def decide(
    probabilities: Sequence[float],
    manifest: ModelManifest,
    operating_point: str = DEFAULT_OPERATING_POINT,
    observed: Observed = NOTHING_OBSERVED,
) -> Decision:
    """Apply an operating point, the conformal set and the review rules.

    probabilities: calibrated, [3], in the order of `FINDINGS`.
    observed: compared with the bounds in the manifest's `outliers`; without these, its numbers give no reasons.

    Raises UnknownOperatingPoint if the manifest has no operating point of that name.
    """
    by_finding = {finding: float(value) for finding, value in zip(FINDINGS, probabilities, strict=True)}
    most_probable = max(FINDINGS, key=by_finding.__getitem__)
    finding = call(by_finding, find_operating_point(manifest, operating_point))
    prediction_set = conformal_set(by_finding, manifest.conformal)
    unusual = film_reasons(observed, manifest.outliers)
    rules = (
        (ReviewReason.LOW_CONFIDENCE, by_finding[most_probable] < manifest.review.low_confidence_below),
        (ReviewReason.AMBIGUOUS, len(prediction_set) != 1),
        *((reason, reason in unusual) for reason in FILM_REASONS),
        (ReviewReason.OPERATING_POINT_DISAGREES, finding is not most_probable),
    )
    return Decision(
        finding=finding,
        confidence=by_finding[finding],
        prediction_set=prediction_set,
        review_reasons=tuple(reason for reason, holds in rules if holds),
    )


def film_reasons(observed: Observed, spec: OutlierSpec | None) -> frozenset[ReviewReason]:
    """Those of FILM_REASONS that hold: what the film's header states, and its `unusual_aspects` if the bundle has bounds."""
    reasons = unusual_aspects(observed, spec) if spec else frozenset()
    if observed.denies_frontal_chest:
        reasons |= {ReviewReason.NOT_FRONTAL_CHEST}
    if observed.display_fault:
        reasons |= {ReviewReason.IMAGE_QUALITY}
    return reasons


def unusual_aspects(observed: Observed, spec: OutlierSpec) -> frozenset[ReviewReason]:
    """Reasons for review in the film itself: a score above the threshold, statistics outside their bounds."""
    reasons = {
        REASON_OF[name]
        for name, bounds in spec.image_bounds.items()
        if name in observed.image and not bounds.hold(observed.image[name])
    }
    if observed.outlier_score is not None and not observed.outlier_score <= spec.threshold:  # written so that NaN is flagged
        reasons.add(ReviewReason.OUT_OF_DISTRIBUTION)
    return frozenset(reasons)


def call(probabilities: dict[Finding, float], point: OperatingPoint) -> Finding:
    """The finding that an operating point calls, by the rule in `OperatingPoint`."""
    if not point.thresholds:
        return max(FINDINGS, key=probabilities.__getitem__)
    reached = {
        disease: probabilities[disease] / threshold
        for disease, threshold in point.thresholds.items()
        if probabilities[disease] >= threshold
    }
    return max(reached, key=reached.__getitem__) if reached else Finding.NORMAL


def conformal_set(probabilities: dict[Finding, float], spec: ConformalSpec) -> tuple[Finding, ...]:
    """Each finding whose probability is at least 1 - its quantile, most probable first (see `ConformalSpec`)."""
    # Written as in calibration (1 - p against the quantile), so that rounding does not drop a score equal to the quantile.
    kept = [finding for finding in FINDINGS if 1.0 - probabilities[finding] <= spec.quantiles[finding]]
    return tuple(sorted(kept, key=probabilities.__getitem__, reverse=True))


def find_operating_point(manifest: ModelManifest, name: str) -> OperatingPoint:
    """Look up an operating point by name. Raises UnknownOperatingPoint."""
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
