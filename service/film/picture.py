"""A film that Pillow has opened, of any format: its pixels, colour and EXIF orientation."""

import struct
from collections.abc import Callable
from typing import Any, cast

import cv2
import numpy as np
from PIL.Image import Image, Resampling

from service.film import grey
from service.film.arrays import GreyPixels
from service.film.errors import UnreadableImage, UnsupportedImage
from service.film.limits import DecodeLimits
from service.film.opened_file import COSTLY_PIXELS, DecodedFile, OpenedFile

# What Pillow's plugins raise on damaged files.
DAMAGED = (OSError, ValueError, SyntaxError, EOFError, KeyError, IndexError, TypeError, OverflowError, struct.error)

# As much as a JPEG may hold, see `jpeg.structure.MAX_EXIF_SEGMENTS`; PNG and WebP set no limit.
MAX_EXIF_BYTES = 512 * 1024

_ORIENTATION = 0x0112  # EXIF 2.3

_GREY_MODES = ("1", "L", "LA", "La", "F")

# A grid of this side estimates the mean of a photograph to a tenth of a level, in a fraction of a millisecond.
_GRID_PX = 128


def open_picture(
    image: Image,
    limits: DecodeLimits,
    *,
    is_slow: bool = False,
    to_grey: Callable[[Any], GreyPixels] = grey.from_image,
) -> OpenedFile:
    """A film whose file was opened by Pillow. Raises as `DecodeLimits.check_size`.

    is_slow: whether decoding is costly whatever the size.
    to_grey: the decoded image -> uint8 [H, W].
    """
    size = width_px, height_px = image.size
    limits.check_size(width_px, height_px)
    return OpenedFile(is_slow or width_px * height_px > COSTLY_PIXELS, lambda _: decode_picture(image, size, to_grey))


def decode_picture(image: Image, size: tuple[int, int], to_grey: Callable[[Any], GreyPixels] = grey.from_image) -> DecodedFile:
    """Decode the pixels. size: width and height as stored."""
    image.load()
    # After loading: Pillow reads a PNG's EXIF by decoding the whole file, and loading turns a TIFF upright and drops its tag.
    orientation = _orientation(image)
    chroma = mean_chroma(image)  # before `to_grey`, which decodes a PNG of deep colour again without its colours
    return DecodedFile(to_grey(image), *size, orientation, mean_chroma=chroma)


def mean_chroma(image: Image) -> float:
    """Mean of max(R, G, B) - min(R, G, B) over a regular grid of pixels, in levels 0..255; 0 for every shade of grey.

    image: decoded, of any mode; alpha is dropped, as in `grey.from_image`.
    """
    if image.mode in _GREY_MODES or grey.is_deep(image):
        return 0.0
    grid = min(image.width, _GRID_PX), min(image.height, _GRID_PX)
    # Nearest: picking pixels touches none of the others, and no colours are mixed.
    red, green, blue = cv2.split(np.asarray(image.resize(grid, Resampling.NEAREST).convert("RGB")))
    chroma = cv2.subtract(cv2.max(cv2.max(red, green), blue), cv2.min(cv2.min(red, green), blue))
    return float(chroma.mean())


def _orientation(image: Image) -> int:
    """EXIF orientation, 1 without one. Pillow parses every value that the tag claims to hold."""
    exif_bytes = max(len(image.info.get(name) or b"") for name in ("exif", "Raw profile type exif"))
    if exif_bytes > MAX_EXIF_BYTES:
        raise UnsupportedImage(f"The image holds {exif_bytes} bytes of EXIF data; save it without metadata.")
    try:
        return cast(int, image.getexif().get(_ORIENTATION, 1))
    except DAMAGED as fault:
        raise UnreadableImage("The image's EXIF data are damaged; save it without metadata, upright.") from fault
