"""Decoded samples -> upright 8-bit grey pixels.

Films are converted a few rows at a time, deep samples by a table, so that no wider copy of a film is made.
"""

from collections.abc import Callable, Iterator

import cv2
import numpy as np
from PIL import Image

from service.film.arrays import GreyPixels, Words
from service.film.errors import UnsupportedImage

# Small beside a film, and large enough that the loop costs nothing measurable.
_BAND_PIXELS = 1 << 20

# By EXIF orientation: steps down and across the stored film, and whether rows and columns are exchanged then.
_TURNS = {
    2: (1, -1, False), 3: (-1, -1, False), 4: (-1, 1, False),
    5: (1, 1, True), 6: (-1, 1, True), 7: (-1, -1, True), 8: (1, -1, True),
}  # fmt: skip


def from_image(image: Image.Image) -> GreyPixels:
    """Any Pillow image -> uint8 [H, W]. Colour is weighted by ITU-R BT.601, alpha is dropped, 16 bit is scaled to 8.

    Raises UnsupportedImage for values outside 0 to 65535.
    """
    convert = _deep_conversion(image) if is_deep(image) else _weigh_colours
    pixels = np.empty((image.height, image.width), dtype=np.uint8)
    for rows, band in _bands(image):
        pixels[rows] = convert(band)
    return pixels


def is_deep(image: Image.Image) -> bool:
    """Whether the image has integer grey values of more than 8 bit."""
    return image.mode == "I" or image.mode.startswith("I;16")


def scale_table(largest: int) -> GreyPixels:
    """uint8 [65536] that scales grey values to 8 bit. largest: the film's largest value, 0 to 65535.

    Detectors deliver 10, 12 or 14 bit in 16 bit files, and the file does not say which: the depth is taken to be the
    smallest of 8, 10, 12, 14 and 16 bit that holds the largest value, so that a 12 bit film is not rendered black.
    """
    return table_of_depth(next(bits for bits in (8, 10, 12, 14, 16) if largest < 1 << bits))


def table_of_depth(bits: int) -> GreyPixels:
    """uint8 [65536] that scales grey values of so many bits, 1 to 16, to 8 bit; larger values become white."""
    scaled = np.arange(1 << 16) * (255.0 / ((1 << bits) - 1)) + 0.5
    return np.minimum(scaled, 255.0).astype(np.uint8)


def look_up(table: GreyPixels, values: Words) -> GreyPixels:
    """table[values], without the indices of 8 bytes each that NumPy would make of the values.

    table: uint8 [256] for uint8 values, uint8 [65536] for uint16 values; values: [H, W], of either byte order.
    """
    native = values.astype(values.dtype.newbyteorder("="), copy=False)
    return np.asarray(cv2.LUT(native, table), dtype=np.uint8)


def row_bands(height: int, width: int) -> Iterator[slice]:
    """Rows 0 to height, a few at a time."""
    step = max(1, _BAND_PIXELS // width)
    for top in range(0, height, step):
        yield slice(top, min(top + step, height))


def upright(pixels: GreyPixels, orientation: int) -> GreyPixels:
    """Undo an EXIF orientation (EXIF 2.3, tag 0x0112), 2 to 8. Other numbers mean upright; then nothing is copied."""
    if orientation not in _TURNS:
        return pixels
    down, across, is_on_its_side = _TURNS[orientation]
    turned = pixels[::down, ::across]
    return np.ascontiguousarray(turned.T if is_on_its_side else turned)


def _weigh_colours(band: Image.Image) -> GreyPixels:
    straight = band.convert("LA") if band.mode == "La" else band
    opaque = straight.convert("RGB") if straight.mode in ("RGBA", "LA", "PA", "P") else straight
    return np.asarray(opaque.convert("L"), dtype=np.uint8)


def _deep_conversion(image: Image.Image) -> Callable[[Image.Image], GreyPixels]:
    smallest = largest = 0
    for _, band in _bands(image):
        values = np.asarray(band)
        smallest, largest = min(smallest, int(values.min())), max(largest, int(values.max()))
    if smallest < 0 or largest > 0xFFFF:
        raise UnsupportedImage("The image has grey values outside 0 to 65535; export it with 8 or 16 bit grey values.")
    table = scale_table(largest)
    return lambda band: look_up(table, np.asarray(band).astype(np.uint16))


def _bands(image: Image.Image) -> Iterator[tuple[slice, Image.Image]]:
    """The image, a few rows at a time: converting or reading it whole would hold two or three copies of it."""
    for rows in row_bands(image.height, image.width):
        yield rows, image.crop((0, rows.start, image.width, rows.stop))
