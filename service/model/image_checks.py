"""Statistics that tell usable frontal chest films from other pictures. Pixels in, numbers out; bounds are in the manifest."""

import cv2
import numpy as np

from service.film.arrays import CoarseFilm, GreyPixels
from service.model.drift_reference import film_statistics

# Grey levels; a picture below has no pattern to compare.
_LEAST_CONTRAST = 1.0


def image_statistics(
    image: GreyPixels, width_px: int, height_px: int, mean_chroma: float, mean_film: CoarseFilm
) -> dict[str, float]:
    """Measure one film: each `ImageStatistic`, and the others of `film_statistics`. Takes well under a millisecond.

    image: model input, uint8 [S, S], so that the values depend neither on resolution nor on file format.
    width_px, height_px, mean_chroma: of the `Radiograph`.
    mean_film: see `resemblance`.
    """
    return {
        **film_statistics(image, width_px, height_px),
        "chroma": mean_chroma,
        "resemblance": resemblance(image, mean_film),
    }


def resemblance(image: GreyPixels, mean_film: CoarseFilm) -> float:
    """Pearson correlation of the coarsened film with the mean of the training films, -1..1; 0 without contrast.

    Two dark lungs beside a bright middle are clearly positive; the same film inverted has the negative value.

    image: uint8 [S, S].
    mean_film: float32 [s, s], of mean 0 and standard deviation 1.
    """
    coarse = coarsen(image, len(mean_film))
    deviations = coarse - coarse.mean()
    contrast = float(deviations.std())
    return float((deviations * mean_film).mean()) / contrast if contrast >= _LEAST_CONTRAST else 0.0


def coarsen(image: GreyPixels, side_px: int) -> CoarseFilm:
    """Area-averaged to float32 [side_px, side_px], in grey levels."""
    return np.asarray(cv2.resize(image.astype(np.float32), (side_px, side_px), interpolation=cv2.INTER_AREA), np.float32)
