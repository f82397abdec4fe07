"""Random transforms of a decoded film, for training (REPORT 3.5.3, and stronger photometric ones).

Films are uint8 [H, W]. All draws come from the generator passed in.
"""

import cv2
import numpy as np
import numpy.typing as npt

from service.film.arrays import GreyPixels, Values
from training.config import AugmentConfig

Floats = npt.NDArray[np.float64]


def augment(film: GreyPixels, config: AugmentConfig, size_px: int, rng: np.random.Generator) -> GreyPixels:
    """uint8 [resize_px, resize_px] -> uint8 [size_px, size_px]: geometry first, then exposure, then damage."""
    return expose_and_damage(_place(film, config, size_px, rng), config, rng)


def expose_and_damage(film: GreyPixels, config: AugmentConfig, rng: np.random.Generator) -> GreyPixels:
    """The transforms of grey values alone: uint8 [S, S] -> uint8 [S, S]."""
    if rng.random() < config.clahe:
        film = _clahe(film, float(rng.uniform(1.5, 4.0)))
    if rng.random() < config.equalise:
        film = cv2.equalizeHist(film).astype(np.uint8)
    film = _expose(film, config, rng)
    if rng.random() < config.degrade:
        film = _degrade(film, float(rng.uniform(0.25, 0.8)))
    if rng.random() < config.jpeg:
        film = _jpeg(film, int(rng.integers(20, 81)))
    if config.noise > 0:
        film = _clip(film + rng.normal(0.0, rng.uniform(0.0, config.noise), film.shape))
    if rng.random() < config.erase:
        film = _erase(film, rng)
    if rng.random() < config.border:
        film = _blank_border(film, rng)
    return film


def _place(film: GreyPixels, config: AugmentConfig, size_px: int, rng: np.random.Generator) -> GreyPixels:
    """Flip, rotate, zoom and crop in one resampling, so that sharpness is lost once."""
    side = film.shape[0]
    angle = np.deg2rad(rng.uniform(-config.rotation_degrees, config.rotation_degrees))
    zoom = 1.0 + rng.uniform(-config.scale, config.scale)
    flip = -1.0 if rng.random() < config.horizontal_flip else 1.0
    slack = (side - size_px) / 2
    shift_x, shift_y = rng.uniform(-slack, slack, 2)
    cosine, sine = np.cos(angle) * zoom, np.sin(angle) * zoom
    linear = np.array([[flip * cosine, -sine], [flip * sine, cosine]])
    centre_in = np.array([(side - 1) / 2 + shift_x, (side - 1) / 2 + shift_y])
    matrix = affine(linear, centre_in, np.full(2, (size_px - 1) / 2))
    placed = cv2.warpAffine(film, matrix, (size_px, size_px), flags=cv2.INTER_LINEAR)
    return np.asarray(placed, dtype=np.uint8)


def affine(linear: Floats, source: Floats, target: Floats) -> Floats:
    """The matrix [2, 3] that applies `linear`, [2, 2], and maps the point `source`, (x, y), to `target`."""
    return np.column_stack([linear, target - linear @ source])


def _expose(film: GreyPixels, config: AugmentConfig, rng: np.random.Generator) -> GreyPixels:
    """Gamma, contrast about the mean and brightness, through one lookup table."""
    levels = np.arange(256, dtype=np.float64)
    if config.gamma > 1:
        exponent = config.gamma ** rng.uniform(-1.0, 1.0)
        levels = 255.0 * (levels / 255.0) ** exponent
    contrast = 1.0 + rng.uniform(-config.contrast, config.contrast)
    brightness = 1.0 + rng.uniform(-config.brightness, config.brightness)
    mean = float(film.mean())
    levels = ((levels - mean) * contrast + mean) * brightness
    return np.asarray(cv2.LUT(film, _clip(levels)), dtype=np.uint8)


def _clahe(film: GreyPixels, clip_limit: float) -> GreyPixels:
    """Contrast-limited adaptive histogram equalisation on 8 x 8 tiles (Zuiderveld 1994)."""
    return np.asarray(cv2.createCLAHE(clipLimit=clip_limit, tileGridSize=(8, 8)).apply(film), dtype=np.uint8)


def _degrade(film: GreyPixels, factor: float) -> GreyPixels:
    """Lower the resolution: shrink to `factor` of the side and enlarge again."""
    side = film.shape[0]
    small_px = max(16, int(side * factor))
    small = cv2.resize(film, (small_px, small_px), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, (side, side), interpolation=cv2.INTER_LINEAR), dtype=np.uint8)


def _jpeg(film: GreyPixels, quality: int) -> GreyPixels:
    encoded = cv2.imencode(".jpg", film, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return np.asarray(cv2.imdecode(encoded, cv2.IMREAD_GRAYSCALE), dtype=np.uint8)


def _erase(film: GreyPixels, rng: np.random.Generator) -> GreyPixels:
    """Random erasing (Zhong et al., arXiv:1708.04896): a rectangle of 2 to 15 % of the area becomes noise."""
    side = film.shape[0]
    area, ratio = rng.uniform(0.02, 0.15) * side * side, np.exp(rng.uniform(-0.9, 0.9))
    height, width = (int(np.clip(length, 1, side)) for length in (np.sqrt(area * ratio), np.sqrt(area / ratio)))
    top, left = rng.integers(0, side - height + 1), rng.integers(0, side - width + 1)
    erased = film.copy()
    erased[top : top + height, left : left + width] = rng.integers(0, 256, (height, width), dtype=np.uint8)
    return erased


def _blank_border(film: GreyPixels, rng: np.random.Generator) -> GreyPixels:
    """Blank margins of up to 12 % a side with one grey level: markers, text and borders identify the hospital."""
    side = film.shape[0]
    top, bottom, left, right = rng.integers(0, int(side * 0.12) + 1, 4)
    blanked = np.full_like(film, rng.integers(0, 256))
    blanked[top : side - bottom, left : side - right] = film[top : side - bottom, left : side - right]
    return blanked


def _clip(values: Values) -> GreyPixels:
    return np.clip(values + 0.5, 0, 255).astype(np.uint8)
