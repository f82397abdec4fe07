"""BMP files: tells layouts that Pillow does not read from damage, and marks run lengths as slow.

Sources: Windows BITMAPFILEHEADER, BITMAPCOREHEADER and BITMAPINFOHEADER to BITMAPV5HEADER; OS/2 2.x BITMAPINFOHEADER2.
"""

import io
import struct

from PIL import BmpImagePlugin

from service.film.errors import UnsupportedImage
from service.film.limits import DecodeLimits
from service.film.opened_file import OpenedFile
from service.film.picture import open_picture

_RUN_LENGTHS = (1, 2)  # biCompression

# Pillow's errors for layouts that exist and that it does not read. Any other number is damage.
_UNREAD = (
    "Unsupported BMP bitfields layout",
    *(f"Unsupported BMP pixel depth ({bits})" for bits in (0, 2, 64)),  # 0: the compression says
    *(f"Unsupported BMP compression ({kind})" for kind in (4, 5, 6, 11, 12, 13)),  # JPEG, PNG, bit fields with alpha, CMYK
    *(f"Unsupported BMP header type ({size})" for size in range(16, 64)),  # of OS/2, cut short
)

_MOST_COLOURS = 256

_NOT_READ = "The BMP file is of a kind that is not read; save it as an uncompressed BMP of 8 or 24 bits, or as a PNG."


def open(data: bytes, limits: DecodeLimits) -> OpenedFile:
    """Raises UnsupportedImage for a layout that is not read; OSError, ValueError or struct.error if damaged."""
    try:
        image = BmpImagePlugin.BmpImageFile(io.BytesIO(data))
    except OSError as fault:
        if str(fault) in _UNREAD:
            raise UnsupportedImage(_NOT_READ) from fault
        raise
    if image.mode == "P" and _colours(data) > _MOST_COLOURS:  # Pillow fails only when it loads the pixels
        raise UnsupportedImage(_NOT_READ)
    # A run takes Pillow a microsecond, and a film may have millions of them.
    return open_picture(image, limits, is_slow=image.info["compression"] in _RUN_LENGTHS)


def _colours(data: bytes) -> int:
    """Colours of the palette that the header states (biClrUsed); 0 for all that the depth allows, or without that field."""
    header_bytes, colours = struct.unpack_from("<I28xI", data, 14)
    return int(colours) if header_bytes >= 40 else 0
