"""Thresholds of a site: prediction sets, review, operating points and outliers, from answers to films not fitted on."""

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

# Review flags must catch this share of the errors. More than the 75 % asked for, since those that they were fitted to are few.
ERRORS_FLAGGED = 0.80

# But no more than this share of the films is flagged for it.
MOST_FLAGGED = 0.35

# Share of the films that low confidence flags where no answer is wrong, and so nothing shows which share would catch errors.
FLAGGED_WITHOUT_ERRORS = 0.10

_OUTLIER_LEVEL = 0.01

# A site's own threshold may exceed the bundle's by this at most. With chest-xray 1.1.1 one in twenty pictures that are no chest
# film scores 1.7 times the threshold, and one in ten 2.4 times.
_MOST_OUTLIER_ALLOWANCE = 2.0


def fit_thresholds(probabilities: Floats, films: SiteFilms, manifest: ModelManifest) -> ModelManifest:
    """The manifest with every threshold fitted to these answers; a part without the films for it stays as it is.

    probabilities: calibrated answers to the films, by heads that have not seen them, [N, 3].
    """
    adjusted = manifest.model_copy(
        update={
            "conformal": _fit_conformal(probabilities, films, manifest.conformal),
            "operating_points": _fit_operating_points(probabilities, films, manifest.operating_points),
            "outliers": manifest.outliers and fit_outlier_threshold(films.outlier_scores, manifest.outliers),
        }
    )
    # Last: it makes good what the others do not flag.
    return adjusted.model_copy(update={"review": _fit_review(probabilities, films, adjusted)})


def fit_outlier_threshold(scores: npt.NDArray[np.float64], spec: OutlierSpec) -> OutlierSpec:
    """The threshold that flags at most the share of the site's films that the bundle's flags of its validation films.

    The bundle's where that does not flag more of them than it should, beyond chance (one-sided binomial test at 1 %): it stands
    on more films. At most twice the bundle's. scores: float [N], N >= 1.
    """
    above = int(np.sum(scores > spec.threshold))
    if binom.sf(above - 1, len(scores), spec.flagged_share) >= _OUTLIER_LEVEL:
        return spec
    own = score_threshold(scores, np.zeros(len(scores), dtype=bool), spec.flagged_share)
    threshold = min(own, _MOST_OUTLIER_ALLOWANCE * spec.threshold)
    share = round(float(np.mean(scores > threshold)), 6)
    return spec.model_copy(update={"threshold": threshold, "films": len(scores), "flagged_share": share})


def _fit_conformal(probabilities: Floats, films: SiteFilms, spec: ConformalSpec) -> ConformalSpec:
    """Quantiles of the classes that have films."""
    fitted = conformal_quantiles(probabilities, films.labels, spec.coverage)
    present = {FINDINGS[index] for index in films.present}
    return spec.model_copy(
        update={"quantiles": {each: (fitted if each in present else spec.quantiles)[each] for each in FINDINGS}}
    )


def _fit_operating_points(
    probabilities: Floats, films: SiteFilms, points: dict[str, OperatingPoint]
) -> dict[str, OperatingPoint]:
    """The bundle's points; that of screening with a threshold of the site's, if films of tuberculosis allow one."""
    tuberculosis = FINDINGS.index(Finding.TUBERCULOSIS)
    if TB_SCREENING not in points or tuberculosis not in films.present:
        return points
    try:
        is_tuberculosis = films.labels == tuberculosis
        count = int(is_tuberculosis.sum())
        # Of films to come, k of the n + 1 with the next one: without the 1, a threshold fitted to few films promises too much.
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
    """The lowest threshold at which review flags of all kinds catch ERRORS_FLAGGED of the errors, while they are at most
    MOST_FLAGGED of the films. 0, which flags no film, where flags of other kinds already catch the errors or reach that share.
    """
    wrong = probabilities.argmax(axis=1) != films.labels
    if not wrong.any():
        return ReviewSpec(low_confidence_below=review_threshold(probabilities, FLAGGED_WITHOUT_ERRORS))
    confident = manifest.model_copy(update={"review": ReviewSpec(low_confidence_below=0.0)})
    already = answers_of(probabilities, films, confident).flagged
    return ReviewSpec(low_confidence_below=_review_threshold(probabilities.max(axis=1), wrong, already))


def _review_threshold(confidence: Floats, wrong: FilmMask, already: FilmMask) -> float:
    room = math.floor(MOST_FLAGGED * len(wrong) + 1e-9) - int(already.sum())
    missing = math.ceil(ERRORS_FLAGGED * int(wrong.sum()) - 1e-9) - int((wrong & already).sum())
    if room <= 0 or missing <= 0:
        return 0.0
    ascending = np.flatnonzero(~already)[np.argsort(confidence[~already], kind="stable")]
    enough = int(np.searchsorted(np.cumsum(wrong[ascending]), missing)) + 1
    flagged = min(enough, room, len(ascending))
    # Below is flagged, so that the threshold lies just above the last film's confidence.
    return min(round((math.floor(confidence[ascending[flagged - 1]] / THRESHOLD_STEP) + 1) * THRESHOLD_STEP, 4), 1.0)
