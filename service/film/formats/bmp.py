"""BMP files: tells what Pillow does not read from what is damaged, and finds those that are slow.

Sources: Windows BITMAPFILEHEADER, BITMAPCOREHEADER and BITMAPINFOHEADER to BITMAPV5HEADER.
"""

import io

from PIL import BmpImagePlugin

from service.film.errors import UnsupportedImage
from service.film.limits import DecodeLimits
from service.film.opened_file import OpenedFile
from service.film.picture import open_picture

_RUN_LENGTHS = (1, 2)  # biCompression

# How Pillow's errors begin for layouts that it does not read. Other errors mean damage, "Unsupported BMP header" too.
_UNREAD = ("Unsupported BMP pixel depth", "Unsupported BMP compression", "Unsupported BMP bitfields")


def open(data: bytes, limits: DecodeLimits) -> OpenedFile:
    """Raises UnsupportedImage for a layout that is not read; OSError, ValueError or struct.error if damaged."""
    try:
        image = BmpImagePlugin.BmpImageFile(io.BytesIO(data))
    except OSError as fault:
        if str(fault).startswith(_UNREAD):
            raise UnsupportedImage(
                "The BMP file is of a kind that is not read; save it as an uncompressed BMP of 8 or 24 bits, or as a PNG."
            ) from fault
        raise
    # A run takes Pillow a microsecond, and a film may have millions of them.
    return open_picture(image, limits, is_slow=image.info["compression"] in _RUN_LENGTHS)
