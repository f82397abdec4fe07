"""Films with a part hidden: the lungs, or all but the lungs, or all but the border. Pixels and outlines in, pixels out."""

import cv2
import numpy as np

from service.film.arrays import GreyPixels, Mask
from training.data.lung_regions import moved_onto, widened

# Width of the margin around the lungs, as a share of the shorter side; covers errors of the outline and the edge of the lung.
MARGIN_SHARE = 0.03

# Width of the outer ring, as a share of each side. It shows collimation, burnt-in letters and processing, but no disease.
BORDER_SHARE = 0.12

# Inpainting a hole as wide as a lung continues tones, not detail, so that a small copy of the film suffices, and is fast.
_INPAINT_SIDE_PX = 64
_INPAINT_RADIUS_PX = 3

LUNGS_HIDDEN = ("lungs black", "lungs mean grey", "lungs noise", "lungs inpainted")
OUTLINE_ALONE, BORDER_ONLY, LUNGS_ONLY = "outline alone", "border only", "lungs only"
VARIANTS = (*LUNGS_HIDDEN, OUTLINE_ALONE, BORDER_ONLY, LUNGS_ONLY)


def masked_films(film: GreyPixels, lungs: Mask, rng: np.random.Generator) -> dict[str, GreyPixels]:
    """The VARIANTS of a film, uint8 [H, W], by name; lungs: their outline, bool [H, W], which is widened by MARGIN_SHARE.

    "lungs black" and so on: the lungs hidden by one of four fills, since a model may recognise one kind of hole.
    "outline alone": black lungs on uniform grey, which measures what the shape of the hole alone gives away.
    "border only": the outer ring of BORDER_SHARE, the rest mean grey. "lungs only": the lungs, the rest mean grey.
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
    """`film` with the donor's lungs instead of its own, shifted and scaled so that the bounding boxes of the lungs coincide.

    film, donor: uint8 [H, W] of any two sizes; lungs, donor_lungs: their outlines, bool [H, W].
    """
    return np.where(with_margin(lungs), moved_onto(donor, donor_lungs, lungs), film)


def border(shape: tuple[int, ...]) -> Mask:
    """The outer ring, bool [H, W], of a film of this shape: BORDER_SHARE of each side wide, at least one pixel."""
    height, width = shape
    rows, columns = max(1, round(BORDER_SHARE * height)), max(1, round(BORDER_SHARE * width))
    ring = np.ones((height, width), dtype=bool)
    ring[rows : height - rows, columns : width - columns] = False
    return ring


def with_margin(lungs: Mask) -> Mask:
    """The lungs, bool [H, W], widened by MARGIN_SHARE of the shorter side, at least one pixel."""
    return widened(lungs, max(1, round(MARGIN_SHARE * min(lungs.shape))))


def _noise(film: GreyPixels, rng: np.random.Generator) -> GreyPixels:
    """Gaussian noise with the mean and the standard deviation of the film."""
    return np.clip(rng.normal(film.mean(), film.std(), film.shape) + 0.5, 0, 255).astype(np.uint8)


def _inpainted(film: GreyPixels, hole: Mask) -> GreyPixels:
    """The film's tones, continued from around the hole into it (Navier-Stokes; Bertalmio et al. 2001, CVPR)."""
    size = (_INPAINT_SIDE_PX, _INPAINT_SIDE_PX)
    small = cv2.resize(film, size, interpolation=cv2.INTER_AREA)
    # Pixels that the hole covers in part hold tones of the lung too.
    touched = (cv2.resize(hole.astype(np.float32), size, interpolation=cv2.INTER_AREA) > 0).astype(np.uint8)
    filled = cv2.inpaint(small, touched, _INPAINT_RADIUS_PX, cv2.INPAINT_NS)
    return np.asarray(cv2.resize(filled, film.shape[::-1], interpolation=cv2.INTER_LINEAR), dtype=np.uint8)
