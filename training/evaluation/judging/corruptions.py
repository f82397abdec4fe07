"""Accidental damage to films: noise, blur, compression, exposure, geometry. Pixels in, pixels out.

Each corruption has five strengths, as in Hendrycks & Dietterich (arXiv:1903.12261), from hardly visible to so strong that a
radiologist would reject the film. The direction (lighter or darker, left or right) is drawn for each film.
"""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from service.film.arrays import GreyPixels, Values

LEVELS = 5

_GREYS = np.arange(256, dtype=np.float64)


@dataclass(frozen=True)
class Corruption:
    """One kind of damage."""

    name: str  # such as "noise"
    unit: str  # of the strengths, such as "grey levels (standard deviation)"
    strengths: tuple[float, ...]  # of levels 1 to LEVELS, the weakest damage first
    # uint8 [H, W], strength, random numbers of the film -> uint8 [H', W']
    damage: Callable[[GreyPixels, float, np.random.Generator], GreyPixels]

    def apply(self, film: GreyPixels, level: int, rng: np.random.Generator) -> GreyPixels:
        """The film, uint8 [H, W], damaged at `level`, 1 to LEVELS."""
        return self.damage(film, self.strengths[level - 1], rng)


def _noise(film: GreyPixels, deviation: float, rng: np.random.Generator) -> GreyPixels:
    return _to_grey(film + deviation * rng.standard_normal(film.shape))


def _blur(film: GreyPixels, percent: float, rng: np.random.Generator) -> GreyPixels:
    sigma = percent / 100 * min(film.shape)
    return np.asarray(cv2.GaussianBlur(film, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE), dtype=np.uint8)


def _jpeg(film: GreyPixels, quality: float, rng: np.random.Generator) -> GreyPixels:
    encoded = cv2.imencode(".jpg", film, [cv2.IMWRITE_JPEG_QUALITY, int(quality)])[1]
    return np.asarray(cv2.imdecode(encoded, cv2.IMREAD_GRAYSCALE), dtype=np.uint8)


def _brightness(film: GreyPixels, levels: float, rng: np.random.Generator) -> GreyPixels:
    return _recoded(film, _GREYS + _sign(rng) * levels)


def _contrast(film: GreyPixels, kept: float, rng: np.random.Generator) -> GreyPixels:
    return _recoded(film, film.mean() + kept / 100 * (_GREYS - film.mean()))


def _gamma(film: GreyPixels, exponent: float, rng: np.random.Generator) -> GreyPixels:
    return _recoded(film, 255 * (_GREYS / 255) ** (exponent ** _sign(rng)))


def _down_sampling(film: GreyPixels, percent: float, rng: np.random.Generator) -> GreyPixels:
    height, width = film.shape
    small = (max(1, round(width * percent / 100)), max(1, round(height * percent / 100)))
    reduced = cv2.resize(film, small, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(reduced, (width, height), interpolation=cv2.INTER_LINEAR), dtype=np.uint8)


def _rotation(film: GreyPixels, degrees: float, rng: np.random.Generator) -> GreyPixels:
    height, width = film.shape
    about_centre = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), _sign(rng) * degrees, 1.0)
    turned = cv2.warpAffine(film, about_centre, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    return np.asarray(turned, dtype=np.uint8)


def _crop(film: GreyPixels, percent: float, rng: np.random.Generator) -> GreyPixels:
    height, width = film.shape
    rows, columns = round(height * percent / 100), round(width * percent / 100)
    top, left = (int(share * cut) for share, cut in zip(rng.random(2), (rows, columns), strict=True))
    return film[top : height - rows + top, left : width - columns + left]


def _occlusion(film: GreyPixels, percent: float, rng: np.random.Generator) -> GreyPixels:
    side_share = np.sqrt(percent / 100)
    height, width = (max(1, round(side_share * length)) for length in film.shape)
    top, left = (
        int(share * (length - extent)) for share, length, extent in zip(rng.random(2), film.shape, (height, width), strict=True)
    )
    hidden = film.copy()
    hidden[top : top + height, left : left + width] = 0
    return hidden


def _recoded(film: GreyPixels, table: Values) -> GreyPixels:
    """Replace grey levels by those of a lookup table, float [256]."""
    return _to_grey(table)[film]


def _to_grey(values: Values) -> GreyPixels:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def _sign(rng: np.random.Generator) -> float:
    return float(rng.choice([-1.0, 1.0]))


CORRUPTIONS = (
    Corruption("noise", "grey levels (standard deviation)", (4, 8, 16, 24, 40), _noise),
    Corruption("blur", "% of the shorter side (sigma)", (0.25, 0.5, 0.75, 1.0, 1.5), _blur),
    Corruption("JPEG", "quality", (50, 30, 20, 10, 5), _jpeg),
    Corruption("brightness", "grey levels, lighter or darker", (10, 20, 35, 50, 70), _brightness),
    Corruption("contrast", "% kept, about the mean", (85, 70, 55, 40, 25), _contrast),
    Corruption("gamma", "exponent or its inverse", (1.2, 1.4, 1.7, 2.0, 2.5), _gamma),
    Corruption("down-sampling", "% of the sides", (50, 35, 25, 18, 12), _down_sampling),
    Corruption("rotation", "degrees to either side", (3, 6, 10, 15, 25), _rotation),
    Corruption("crop", "% of each side cut off", (4, 8, 12, 18, 25), _crop),
    Corruption("occlusion", "% of the area, a black box", (2, 5, 10, 16, 25), _occlusion),
)
