"""WebP files."""

import io

from PIL.WebPImagePlugin import WebPImageFile

from service.film.errors import UnsupportedImage
from service.film.limits import DecodeLimits
from service.film.opened_file import OpenedFile
from service.film.picture import open_picture


def open(data: bytes, limits: DecodeLimits) -> OpenedFile:
    """Raises UnsupportedImage for an animation, Pillow's DecompressionBombError for more pixels than Pillow makes room for."""
    image = WebPImageFile(io.BytesIO(data))
    if image.is_animated:
        raise UnsupportedImage("The WEBP file holds more than one frame or page; send one film per file.")
    return open_picture(image, limits)
