"""Draws a Grad-CAM map as PNG pictures. Knows no models."""

import cv2
import numpy as np
import numpy.typing as npt

from service.film.arrays import GreyPixels, Grid

# Large enough to tell zones apart, small enough that both pictures take about 2 ms.
OVERLAY_SIDE_PX = 224

# The size at which the web page shows a film.
FILM_SIDE_PX = 1024

# Opacity of the map over the film where the map is 1; it is 0 where the map is 0.
STRONGEST_OPACITY = 0.5

# Encoding takes most of the time. By default the encoder tries every filter on every row, and searches a film's noise for
# matches that are not there. One filter and Huffman coding alone take half the time and give the same size.
OVERLAY_PNG = [
    cv2.IMWRITE_PNG_COMPRESSION, 1,
    cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_HUFFMAN_ONLY,
    cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_AVG,
]  # fmt: skip

# The map alone is smooth: differences along a row repeat, so searching for matches pays.
HEATMAP_PNG = [cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_SUB]


def overlay_png(film: GreyPixels, grid: Grid) -> bytes:
    """The film, uint8 [H, W], with the map in colour over it: PNG, same aspect ratio, longer side OVERLAY_SIDE_PX.

    grid: float32 [h, w], 0..1, covering the whole film.
    """
    height, width = _drawn_size(*film.shape)
    base = cv2.resize(film, (width, height), interpolation=cv2.INTER_AREA)
    heat = _upsampled(grid, height, width)
    colours = cv2.applyColorMap(heat, cv2.COLORMAP_TURBO)
    opacity = cv2.merge([heat] * 3)
    grey = cv2.cvtColor(base, cv2.COLOR_GRAY2BGR)
    # grey + opacity * (colour - grey), in two saturating 8 bit passes
    coloured = cv2.multiply(colours, opacity, scale=STRONGEST_OPACITY / 255)
    kept = cv2.subtract(grey, cv2.multiply(grey, opacity, scale=STRONGEST_OPACITY / 255))
    return _png(np.asarray(cv2.add(kept, coloured), dtype=np.uint8), OVERLAY_PNG)


def heatmap_png(grid: Grid, film_height_px: int, film_width_px: int) -> bytes:
    """The map alone, in the overlay's size: grey PNG, 0 to 255."""
    return _png(_upsampled(grid, *_drawn_size(film_height_px, film_width_px)), HEATMAP_PNG)


def film_png(film: GreyPixels) -> bytes:
    """The film alone, uint8 [H, W]: grey PNG, same aspect ratio, longer side at most FILM_SIDE_PX."""
    height_px, width_px = film.shape
    height, width = _drawn_size(height_px, width_px, side_px=min(FILM_SIDE_PX, max(film.shape)))
    return _png(np.asarray(cv2.resize(film, (width, height), interpolation=cv2.INTER_AREA), dtype=np.uint8), OVERLAY_PNG)


def _drawn_size(height_px: int, width_px: int, side_px: int = OVERLAY_SIDE_PX) -> tuple[int, int]:
    scale = side_px / max(height_px, width_px)
    return max(1, round(height_px * scale)), max(1, round(width_px * scale))


def _upsampled(grid: Grid, height_px: int, width_px: int) -> GreyPixels:
    heat = cv2.resize(grid, (width_px, height_px), interpolation=cv2.INTER_LINEAR)
    return np.asarray(heat * 255 + 0.5, dtype=np.uint8)


def _png(picture: npt.NDArray[np.uint8], parameters: list[int]) -> bytes:
    return cv2.imencode(".png", picture, parameters)[1].tobytes()
