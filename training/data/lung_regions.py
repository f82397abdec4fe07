"""Operations on the lungs of a film, given as mask bool [H, W]: widen them, or align two films by them."""

import cv2
import numpy as np
import numpy.typing as npt

from service.film.arrays import GreyPixels, Mask

# Share of the film. The lungs of a frontal chest film cover more; a smaller outline misses one or both of them.
SMALLEST_LUNGS = 0.08


def moved_onto(film: GreyPixels, film_lungs: Mask, lungs: Mask) -> GreyPixels:
    """`film`, uint8, shifted and scaled so that the bounding boxes of its lungs and of `lungs` coincide; shape of `lungs`."""
    source, target = _box(film_lungs), _box(lungs)
    scale = (target[1] - target[0]) / (source[1] - source[0])
    matrix = np.column_stack([np.diag(scale), target[0] - scale * source[0]])
    moved = cv2.warpAffine(film, matrix, lungs.shape[::-1], flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(moved, dtype=np.uint8)


def widened(lungs: Mask, radius_px: int) -> Mask:
    """The lungs and all pixels within radius_px of them."""
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius_px + 1, 2 * radius_px + 1))
    return cv2.dilate(lungs.astype(np.uint8), kernel).astype(bool)


def _box(lungs: Mask) -> npt.NDArray[np.float64]:
    """Bounding box [[left, top], [right, bottom]] of the lungs, in pixels; right and bottom are exclusive."""
    left, top, width, height = cv2.boundingRect(lungs.astype(np.uint8))
    return np.array([[left, top], [left + width, top + height]], dtype=np.float64)
