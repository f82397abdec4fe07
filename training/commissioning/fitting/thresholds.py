"""Fits the thresholds of a site: prediction sets, review, operating points and outliers. Answers must be out of fold."""

import math

import numpy as np
import numpy.typing as npt
from scipy.stats import binom

from export.calibration import (
    TB_SCREENING,
    TB_SENSITIVITY,
    THRESHOLD_STEP,
    conformal_quantiles,
    review_threshold,
    screening_threshold,
)
from export.outliers import score_threshold
from service.model.findings import FINDINGS, Finding
from service.model.manifest import ConformalSpec, ModelManifest, OperatingPoint, OutlierSpec, ReviewSpec
from training.commissioning.cases import SiteFilms
from training.commissioning.fitting.decisions import answers_of
from training.errors import ExportError
from training.evaluation.measures.confusion import FilmMask, Floats

# Share of the errors that review flags must catch. Above the 75 % that are meant, since the threshold is fitted to few errors.
ERRORS_FLAGGED = 0.80

# Largest share of the films that may be flagged to catch them.
MOST_FLAGGED = 0.35

# Share of the films that low confidence flags where no answer is wrong, and so nothing shows which share would catch errors.
FLAGGED_WITHOUT_ERRORS = 0.10

# Level of the test whether the released outlier threshold flags too many films.
_OUTLIER_LEVEL = 0.01

# Largest ratio of a site's own outlier threshold to the bundle's. With chest-xray 1.1.1, the lowest 5 % of pictures that are no
# chest film score up to 1.7 times the bundle's threshold, and the lowest 10 % up to 2.4 times.
_MOST_OUTLIER_ALLOWANCE = 2.0


def fit_thresholds(probabilities: Floats, films: SiteFilms, manifest: ModelManifest) -> ModelManifest:
    """The manifest with all thresholds fitted to these answers. A threshold without films to fit it to stays as it is.

    probabilities: calibrated out-of-fold answers to the films, [N, 3].
    """
    adjusted = manifest.model_copy(
        update={
            "conformal": _fit_conformal(probabilities, films, manifest.conformal),
            "operating_points": _fit_operating_points(probabilities, films, manifest.operating_points),
            "outliers": manifest.outliers and fit_outlier_threshold(films.outlier_scores, manifest.outliers),
        }
    )
    # Last: its threshold depends on what the others flag.
    return adjusted.model_copy(update={"review": _fit_review(probabilities, films, adjusted)})


def fit_outlier_threshold(scores: npt.NDArray[np.float64], spec: OutlierSpec) -> OutlierSpec:
    """The bundle's threshold, or a higher one of the site's if the bundle's flags too many of the site's films beyond chance.

    Too many: more than its share of the validation films, in a one-sided binomial test at 1 %. The site's own threshold flags
    at most that share, but is at most twice the bundle's. scores: of the site's films, float [N], N >= 1.
    """
    above = int(np.sum(scores > spec.threshold))
    if binom.sf(above - 1, len(scores), spec.flagged_share) >= _OUTLIER_LEVEL:
        return spec
    own = score_threshold(scores, np.zeros(len(scores), dtype=bool), spec.flagged_share)
    threshold = min(own, _MOST_OUTLIER_ALLOWANCE * spec.threshold)
    share = round(float(np.mean(scores > threshold)), 6)
    return spec.model_copy(update={"threshold": threshold, "films": len(scores), "flagged_share": share})


def _fit_conformal(probabilities: Floats, films: SiteFilms, spec: ConformalSpec) -> ConformalSpec:
    """Fitted quantiles for the classes that have films, the bundle's for the others."""
    fitted = conformal_quantiles(probabilities, films.labels, spec.coverage)
    present = {FINDINGS[index] for index in films.present}
    return spec.model_copy(
        update={"quantiles": {each: (fitted if each in present else spec.quantiles)[each] for each in FINDINGS}}
    )


def _fit_operating_points(
    probabilities: Floats, films: SiteFilms, points: dict[str, OperatingPoint]
) -> dict[str, OperatingPoint]:
    """The bundle's points, `tb_screening` with a threshold of the site's if its films of tuberculosis allow one."""
    tuberculosis = FINDINGS.index(Finding.TUBERCULOSIS)
    if TB_SCREENING not in points or tuberculosis not in films.present:
        return points
    try:
        is_tuberculosis = films.labels == tuberculosis
        count = int(is_tuberculosis.sum())
        # Finite-sample correction, as in split conformal prediction: n + 1 counts the next film. Without it, a threshold fitted
        # to few films promises too much.
        meant = min(1.0, math.ceil((count + 1) * TB_SENSITIVITY) / count)
        threshold = screening_threshold(probabilities[:, tuberculosis], is_tuberculosis, meant)
    except ExportError:
        return points
    description = (
        f"Tuberculosis or not, fitted to find {TB_SENSITIVITY:.0%} of the site's tuberculosis. Normal means that "
        "tuberculosis is not suspected; pneumonia is not looked for."
    )
    return {**points, TB_SCREENING: OperatingPoint(description=description, thresholds={Finding.TUBERCULOSIS: threshold})}


def _fit_review(probabilities: Floats, films: SiteFilms, manifest: ModelManifest) -> ReviewSpec:
    """The lowest confidence threshold at which all review flags together catch ERRORS_FLAGGED of the errors.

    It is lower if they would flag more than MOST_FLAGGED of the films, and 0 if other flags already reach either share.
    If no answer is wrong, it flags FLAGGED_WITHOUT_ERRORS of the films.
    """
    wrong = probabilities.argmax(axis=1) != films.labels
    if not wrong.any():
        return ReviewSpec(low_confidence_below=review_threshold(probabilities, FLAGGED_WITHOUT_ERRORS))
    confident = manifest.model_copy(update={"review": ReviewSpec(low_confidence_below=0.0)})
    already = answers_of(probabilities, films, confident).flagged
    return ReviewSpec(low_confidence_below=_review_threshold(probabilities.max(axis=1), wrong, already))


def _review_threshold(confidence: Floats, wrong: FilmMask, already: FilmMask) -> float:
    """confidence: largest probability of each film, [N]. already: whether a flag of another kind is on it, [N]."""
    room = math.floor(MOST_FLAGGED * len(wrong) + 1e-9) - int(already.sum())
    missing = math.ceil(ERRORS_FLAGGED * int(wrong.sum()) - 1e-9) - int((wrong & already).sum())
    if room <= 0 or missing <= 0:
        return 0.0
    ascending = np.flatnonzero(~already)[np.argsort(confidence[~already], kind="stable")]
    enough = int(np.searchsorted(np.cumsum(wrong[ascending]), missing)) + 1
    flagged = min(enough, room, len(ascending))
    # Films below the threshold are flagged, so it lies just above the confidence of the last film to flag.
    return min(round((math.floor(confidence[ascending[flagged - 1]] / THRESHOLD_STEP) + 1) * THRESHOLD_STEP, 4), 1.0)
