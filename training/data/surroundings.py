"""Replaces the lungs or the surroundings of training films, so that a network learns to look at the lungs.

Markers, borders, collimation and processing identify the source of a film, and where source and class correlate, its class too.
Films are uint8 [S, S], lungs bool [S, S]. All draws come from the generator passed in.
"""

import cv2
import numpy as np

from service.film.arrays import GreyPixels, Mask
from training.data.lung_regions import SMALLEST_LUNGS, moved_onto, widened

# Largest margin around the lungs, as a share of the side. Signs at the pleura, the hila and the costophrenic angles lie on or
# just outside the outline.
_WIDEST_MARGIN = 0.06


def replace_surroundings(
    film: GreyPixels, lungs: Mask, other: GreyPixels, other_lungs: Mask, rng: np.random.Generator
) -> GreyPixels:
    """Keep the lungs of `film`, and replace the rest: half the time by `other`, aligned by its lungs, else by no picture.

    other: of any class. `film` is returned unchanged if its outline is unusable.
    """
    if lungs.mean() < SMALLEST_LUNGS:
        return film
    if rng.random() < 0.5 and other_lungs.mean() >= SMALLEST_LUNGS:
        surroundings = moved_onto(other, other_lungs, lungs)
    else:
        surroundings = _without_picture(film, rng)
    return _blend(film, surroundings, _with_margin(lungs, rng), rng)


def hollow_out(film: GreyPixels, lungs: Mask, rng: np.random.Generator) -> GreyPixels | None:
    """Replace the lungs by what shows no sign of disease. None if the outline is unusable."""
    if lungs.mean() < SMALLEST_LUNGS:
        return None
    return _blend(_without_picture(film, rng), film, _with_margin(lungs, rng), rng)


def _without_picture(film: GreyPixels, rng: np.random.Generator) -> GreyPixels:
    """A film of the same size without a picture: flat grey, noise, or `film` blurred to its shading."""
    kind = rng.integers(3)
    if kind == 0:
        return np.full_like(film, rng.integers(0, 256))
    if kind == 1:
        level, spread = rng.uniform(40, 215), rng.uniform(5, 60)
        return np.clip(rng.normal(level, spread, film.shape), 0, 255).astype(np.uint8)
    return np.asarray(cv2.GaussianBlur(film, (0, 0), film.shape[0] * rng.uniform(0.08, 0.2)), dtype=np.uint8)


def _with_margin(lungs: Mask, rng: np.random.Generator) -> Mask:
    return widened(lungs, int(lungs.shape[0] * rng.uniform(0.01, _WIDEST_MARGIN)))


def _blend(inside: GreyPixels, outside: GreyPixels, region: Mask, rng: np.random.Generator) -> GreyPixels:
    """`inside` where region is True, fading into `outside`, since a network could learn to see a sharp edge."""
    softness = region.shape[0] * rng.uniform(0.004, 0.03)
    share = cv2.GaussianBlur(region.astype(np.float32), (0, 0), softness)
    return np.asarray(outside + share * (inside.astype(np.float32) - outside) + 0.5, dtype=np.uint8)
