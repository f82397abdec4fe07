"""BMP files: names headers and layouts that Pillow does not read, and those that are slow.

Sources: Windows BITMAPFILEHEADER, BITMAPCOREHEADER and BITMAPINFOHEADER to BITMAPV5HEADER; OS/2 2.x BITMAPINFOHEADER2.
"""

import io
import struct

from PIL import BmpImagePlugin

from service.film.errors import UnreadableImage, UnsupportedImage
from service.film.limits import DecodeLimits
from service.film.opened_file import OpenedFile
from service.film.picture import open_picture

_CORE_HEADER_BYTES = 12
_OS2_HEADER_BYTES = range(16, 65)  # may be cut short; the rest is zero
_READ_HEADER_BYTES = (_CORE_HEADER_BYTES, 40, 52, 56, 64, 108, 124)

_READ_BITS = (1, 4, 8, 16, 24, 32)
_UNCOMPRESSED, _BIT_FIELDS = 0, 3
_RUN_LENGTHS = (1, 2)
_UNREAD_COMPRESSIONS = (4, 5, 6, 11, 12, 13)  # JPEG, PNG, bit fields with alpha, CMYK
_UNREAD_OS2_COMPRESSIONS = (3, 4)  # Huffman codes, 24-bit run lengths


def open(data: bytes, limits: DecodeLimits) -> OpenedFile:
    """Raises UnsupportedImage for an intact file that is not read; UnreadableImage, OSError or struct.error if damaged."""
    image = _open_image(data)
    # A run takes Pillow a microsecond, and a film may have millions of them.
    return open_picture(image, limits, is_slow=image.info["compression"] in _RUN_LENGTHS)


def _open_image(data: bytes) -> BmpImagePlugin.BmpImageFile:
    (header_bytes,) = struct.unpack_from("<I", data, 14)
    if header_bytes not in _READ_HEADER_BYTES:
        if header_bytes in _OS2_HEADER_BYTES:
            raise _unread(f"an OS/2 header of {header_bytes} bytes")
        raise UnreadableImage("The BMP file is damaged or truncated; export the film again.")
    bits, compression, colours = 0, _UNCOMPRESSED, 0
    if header_bytes == _CORE_HEADER_BYTES:
        (bits,) = struct.unpack_from("<H", data, 24)
    else:
        bits, compression, _, _, _, colours = struct.unpack_from("<HIIiiI", data, 28)
    if compression in (_UNREAD_OS2_COMPRESSIONS if header_bytes == 64 else _UNREAD_COMPRESSIONS):
        raise _unread(f"compression {compression}")
    if bits in (2, 64) or (bits <= 8 and 256 < colours <= 65536):
        raise _unread(f"{bits} bits per pixel and a palette of {colours} colours")
    try:
        return BmpImagePlugin.BmpImageFile(io.BytesIO(data))
    except OSError as fault:
        if compression == _BIT_FIELDS and bits in _READ_BITS:
            raise _unread("bit fields of an unusual width or order") from fault
        raise


def _unread(layout: str) -> UnsupportedImage:
    return UnsupportedImage(
        f"The BMP file has {layout}, which is not read; save it as an uncompressed BMP of 8 or 24 bits, or as a PNG."
    )
