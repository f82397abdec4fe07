"""Films of which a part is hidden: the lungs, or all but the lungs or the border. Pixels and outlines in, pixels out."""

import cv2
import numpy as np

from service.film.arrays import GreyPixels, Mask
from training.data.lung_regions import moved_onto, widened

# Of the shorter side; covers the error of the outline and the edge of the lung.
MARGIN_SHARE = 0.03

# Of each side. The outer ring shows collimation, burnt-in letters and processing, but no disease.
BORDER_SHARE = 0.12

# Inpainting a hole as wide as a lung carries over tones, no detail; so a small copy suffices, and is fast.
_INPAINT_SIDE_PX = 64
_INPAINT_RADIUS_PX = 3

LUNGS_HIDDEN = ("lungs black", "lungs mean grey", "lungs noise", "lungs inpainted")
OUTLINE_ALONE, BORDER_ONLY, LUNGS_ONLY = "outline alone", "border only", "lungs only"
VARIANTS = (*LUNGS_HIDDEN, OUTLINE_ALONE, BORDER_ONLY, LUNGS_ONLY)


def masked_films(film: GreyPixels, lungs: Mask, rng: np.random.Generator) -> dict[str, GreyPixels]:
    """The VARIANTS of a film, uint8 [H, W]; lungs: bool [H, W].

    "lungs ...": the lung fields, widened by MARGIN_SHARE, filled in four ways, since a model may recognise one kind of hole.
    "outline alone": black lung fields on a uniform grey, which shows what the shape of the hole alone gives away.
    "border only": the outer ring of BORDER_SHARE, the rest mean grey. "lungs only": the lung fields, the rest mean grey.
    """
    hole = with_margin(lungs)
    mean = np.full_like(film, round(float(film.mean())))
    fills = (np.zeros_like(film), mean, _noise(film, rng), _inpainted(film, hole))
    return {
        **{name: np.where(hole, fill, film) for name, fill in zip(LUNGS_HIDDEN, fills, strict=True)},
        OUTLINE_ALONE: np.where(hole, np.uint8(0), np.full_like(film, 128)),
        BORDER_ONLY: np.where(border(film.shape), film, mean),
        LUNGS_ONLY: np.where(hole, film, mean),
    }


def with_lungs_of(film: GreyPixels, lungs: Mask, donor: GreyPixels, donor_lungs: Mask) -> GreyPixels:
    """`film` with the donor's lungs instead of its own, shifted and scaled so that the boxes around both lungs coincide."""
    return np.where(with_margin(lungs), moved_onto(donor, donor_lungs, lungs), film)


def border(shape: tuple[int, ...]) -> Mask:
    """The outer ring of a film of `shape` [H, W], as wide as BORDER_SHARE of each side, at least one pixel."""
    height, width = shape
    rows, columns = max(1, round(BORDER_SHARE * height)), max(1, round(BORDER_SHARE * width))
    ring = np.ones((height, width), dtype=bool)
    ring[rows : height - rows, columns : width - columns] = False
    return ring


def with_margin(lungs: Mask) -> Mask:
    """The lung fields, widened by MARGIN_SHARE."""
    return widened(lungs, max(1, round(MARGIN_SHARE * min(lungs.shape))))


def _noise(film: GreyPixels, rng: np.random.Generator) -> GreyPixels:
    """Grey levels as scattered as the film's own."""
    return np.clip(rng.normal(film.mean(), film.std(), film.shape) + 0.5, 0, 255).astype(np.uint8)


def _inpainted(film: GreyPixels, hole: Mask) -> GreyPixels:
    """The hole filled from its surroundings (Bertalmio et al. 2001, CVPR), without detail."""
    side = (_INPAINT_SIDE_PX, _INPAINT_SIDE_PX)
    small = cv2.resize(film, side, interpolation=cv2.INTER_AREA)
    # Also pixels that the hole covers partly, since they hold tones of the lung.
    touched = (cv2.resize(hole.astype(np.float32), side, interpolation=cv2.INTER_AREA) > 0).astype(np.uint8)
    filled = cv2.inpaint(small, touched, _INPAINT_RADIUS_PX, cv2.INPAINT_NS)
    return np.asarray(cv2.resize(filled, film.shape[::-1], interpolation=cv2.INTER_LINEAR), dtype=np.uint8)
