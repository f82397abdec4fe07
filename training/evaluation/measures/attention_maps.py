"""Measures of one attention map: where its weight lies, and whether the prediction depends on what it marks."""

from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt
from scipy.stats import spearmanr

from service.film.arrays import GreyPixels, Grid, Mask
from training.evaluation.measures.confusion import Floats

# uint8 [K, S, S] -> the probability of one class, float [K].
Score = Callable[[GreyPixels], Floats]

# Each step from one point of a curve to the next exchanges 1 / CURVE_STEPS of the pixels.
CURVE_STEPS = 16

# Standard deviation of the Gaussian blur that insertion starts from, as a share of the side; it hides every sign of disease.
_BLUR_SHARE = 0.05


def enlarged(grid: Grid, side_px: int) -> Grid:
    """Stretch a map, float32 [h, w], to the model input, float32 [side_px, side_px], as the service does to draw it."""
    return np.asarray(cv2.resize(grid, (side_px, side_px), interpolation=cv2.INTER_LINEAR), dtype=np.float32)


def share_inside(grid: Grid, mask: Mask) -> float:
    """Share of the map's total weight inside the mask, bool [S, S]; 0..1, NaN for a map that is zero everywhere."""
    weights = enlarged(grid, mask.shape[0]).astype(np.float64)
    total = weights.sum()
    return float(weights[mask].sum() / total) if total > 0 else float("nan")


def deletion_and_insertion(image: GreyPixels, grid: Grid, score: Score) -> tuple[float, float]:
    """Areas under the deletion and the insertion curve (RISE, Petsiuk et al., arXiv:1806.07421), each 0..1.

    Deletion sets pixels to the mean grey level, the most attended first: the faster the score falls, the smaller the area.
    Insertion restores pixels in a blurred copy, in the same order: the faster the score rises, the larger the area. Ties are
    broken row by row. image: uint8 [S, S]; grid: float32 [h, w].
    """
    order = np.argsort(-enlarged(grid, image.shape[0]), axis=None, kind="stable")
    grey = np.full_like(image, round(float(image.mean())))
    blurred = np.asarray(cv2.GaussianBlur(image, (0, 0), _BLUR_SHARE * image.shape[0]), dtype=np.uint8)
    return _area(score(_exchanged(image, grey, order))), _area(score(_exchanged(blurred, image, order)))


def random_grid(shape: tuple[int, ...], rng: np.random.Generator) -> Grid:
    """A map of independent uniform cells, float32 of this shape: the control for a real map."""
    return rng.random(shape).astype(np.float32)


def rank_correlation(first: Grid, second: Grid) -> float:
    """Spearman's rank correlation of two maps over their cells, -1..1; NaN if one of them is constant."""
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return float("nan")
    return float(spearmanr(first, second, axis=None).statistic)


def _exchanged(start: GreyPixels, end: GreyPixels, order: npt.NDArray[np.intp]) -> GreyPixels:
    """Pictures on the way from `start` to `end`, uint8 [CURVE_STEPS + 1, S, S]. order: flat indices of the pixels."""
    pictures = np.repeat(start.reshape(1, -1), CURVE_STEPS + 1, axis=0)
    for step in range(1, CURVE_STEPS + 1):
        exchanged = order[: round(len(order) * step / CURVE_STEPS)]
        pictures[step, exchanged] = end.ravel()[exchanged]
    return pictures.reshape(-1, *start.shape)


def _area(curve: Floats) -> float:
    return float(np.trapezoid(curve, dx=1 / (len(curve) - 1)))
