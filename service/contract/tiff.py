"""TIFF beyond what Pillow settles: polarity of deep films, colour deeper than 8 bit, and files made to be slow.

Source: TIFF 6.0, sections 2 (directory), 4 (PhotometricInterpretation), 8 (samples) and 15 (tiles).
"""

import struct

from PIL import ExifTags, TiffImagePlugin

from service.contract.errors import ImageTooLarge, UnsupportedImage

# A film of one row a strip has some 10000 strips, each with an offset and a length. Each value costs Pillow microseconds.
MAX_VALUES = 100_000

_BITS_PER_SAMPLE = 258
_PHOTOMETRIC_INTERPRETATION = 262
_WHITE_IS_ZERO, _BLACK_IS_ZERO = 0, 1
_TILE_WIDTH, _TILE_LENGTH = 322, 323
_OFFSETS = (273, 324)  # of strips and of tiles

_ENTRY_BYTES = 12
_KINDS_KEPT_AS_BYTES = (1, 2, 7)  # BYTE, ASCII, UNDEFINED: profiles and texts, which are not taken apart

# Pillow reads BlackIsZero at every depth but WhiteIsZero, of more than 8 bits, in little endian of 16 bits only; then it
# does not invert. The same layouts are read for both here, and `is_negative` says what remains to be inverted.
TiffImagePlugin.OPEN_INFO.update(
    {
        (order, _WHITE_IS_ZERO, sample_format, fill_order, bits, extra): modes
        for (order, photometric, sample_format, fill_order, bits, extra), modes in TiffImagePlugin.OPEN_INFO.items()
        if photometric == _BLACK_IS_ZERO and max(bits) > 8
    }
)


def check_directory(data: bytes) -> None:
    """Raises UnsupportedImage for a directory of so many values that reading it would take seconds; struct.error if cut off."""
    order = "<" if data[:2] == b"II" else ">"
    (start,) = struct.unpack_from(order + "I", data, 4)
    (entries,) = struct.unpack_from(order + "H", data, start)
    values = 0
    for entry in range(entries):
        tag, kind, count = struct.unpack_from(order + "HHI", data, start + 2 + entry * _ENTRY_BYTES)
        if kind not in _KINDS_KEPT_AS_BYTES or tag in _OFFSETS:
            values += count
    if values > MAX_VALUES:
        raise UnsupportedImage(
            f"The TIFF file lists {values} values in its directory, over the limit of {MAX_VALUES}; "
            "save the film in fewer strips or tiles."
        )


def check_layout(image: TiffImagePlugin.TiffImageFile, max_pixels: int) -> None:
    """Judge an image that is not yet decoded. Raises ImageTooLarge or UnsupportedImage."""
    tags = image.tag_v2
    if _TILE_WIDTH in tags and _TILE_LENGTH in tags:
        # Tiles are decoded whole: what lies outside the film costs the same.
        tile_width, tile_length = max(1, tags[_TILE_WIDTH]), max(1, tags[_TILE_LENGTH])
        width, height = image.size
        pixels = -(-width // tile_width) * tile_width * -(-height // tile_length) * tile_length
        if pixels > max_pixels:
            raise ImageTooLarge(
                f"The TIFF image's tiles of {tile_width} x {tile_length} px have {pixels} pixels together, over the limit "
                f"of {max_pixels}; save it with smaller tiles or none."
            )
    if image.mode in ("RGB", "RGBA", "CMYK") and max(tags.get(_BITS_PER_SAMPLE, (1,))) > 8:
        raise UnsupportedImage("The TIFF image has 16-bit colour; save it as a 16-bit grey TIFF or as a 16-bit PNG.")


def skip_subdirectories(image: TiffImagePlugin.TiffImageFile) -> None:
    """Have Pillow decode without reading the EXIF and GPS directories, whose values `check_directory` has not counted."""
    exif = image.getexif()
    for directory in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo, ExifTags.IFD.Interop):
        exif.pop(directory, None)


def is_negative(image: TiffImagePlugin.TiffImageFile) -> bool:
    """Whether the tag says WhiteIsZero; 0 is what Pillow takes a missing tag for. Pillow has inverted 8-bit films itself."""
    return bool(image.tag_v2.get(_PHOTOMETRIC_INTERPRETATION, _WHITE_IS_ZERO) == _WHITE_IS_ZERO)
