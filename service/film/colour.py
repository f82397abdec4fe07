"""How coloured a picture is. Films are grey, whatever their file format; photographs and charts are not."""

import cv2
import numpy as np
from PIL import Image

from service.film.grey import is_deep

_GREY_MODES = ("1", "L", "LA", "La", "F")

# A grid of this side estimates the mean of a photograph to a tenth of a level, in a fraction of a millisecond.
_GRID_PX = 128


def mean_chroma(image: Image.Image) -> float:
    """Mean of max(R, G, B) - min(R, G, B) over a regular grid of pixels, in levels 0..255; 0 for every shade of grey.

    image: decoded, of any mode; alpha is dropped, as in `grey.from_image`.
    """
    if image.mode in _GREY_MODES or is_deep(image):
        return 0.0
    grid = min(image.width, _GRID_PX), min(image.height, _GRID_PX)
    # Nearest: picking pixels touches none of the others, and no colours are mixed.
    red, green, blue = cv2.split(np.asarray(image.resize(grid, Image.Resampling.NEAREST).convert("RGB")))
    chroma = cv2.subtract(cv2.max(cv2.max(red, green), blue), cv2.min(cv2.min(red, green), blue))
    return float(chroma.mean())
