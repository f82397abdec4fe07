"""TIFF files: opens and decodes the page that is the film, and compares it with its reduced copies.

Sources: TIFF 6.0, sections 3 (strips), 4 (PhotometricInterpretation), 5 (palettes); Photoshop TIFF Technical Note 2 (JPEG).
"""

import io
import re
import struct
from typing import Any

import cv2
from PIL import ExifTags, ImagePalette, TiffImagePlugin
from PIL.ExifTags import Base as Tag

from service.film import grey
from service.film.arrays import GreyPixels
from service.film.errors import UnreadableImage, UnsupportedImage
from service.film.formats.jpeg.reader import lacks_data, samples_of
from service.film.formats.jpeg.structure import read_structure
from service.film.formats.tiff import pages
from service.film.formats.tiff.pages import Page
from service.film.limits import DecodeLimits
from service.film.opened_file import OpenedFile
from service.film.picture import open_picture

# A copy, however it was reduced, equals its film to a few grey levels at this size, and no other film does.
_COMPARED_PX = 32
_MOST_DIFFERENCE = 4

_SIGNED = 2  # SampleFormat
_COLOURS = {2: 3, 5: 4, pages.YCBCR: 3}  # RGB, CMYK, YCbCr; extra samples are not needed

_START_OF_JPEG, _END_OF_JPEG = b"\xff\xd8", b"\xff\xd9"
# Frame header of a JPEG (ITU-T T.81, B.2.2): marker, length, bits, height and width.
_JPEG_FRAME_WITHIN_BYTES = 1024  # behind a quantisation and four Huffman tables at most
_JPEG_FRAME = re.compile(rb"\xff[\xc0-\xc3\xc9-\xcb]..(.)(..)(..)", re.DOTALL)

# Pillow reads BlackIsZero at every depth. It reads WhiteIsZero of more than 8 bits only as 16 bits in little endian, and does
# not invert it. Here the same layouts are read for both, and `_page_to_grey` inverts the deep ones.
TiffImagePlugin.OPEN_INFO.update(
    {
        (order, pages.WHITE_IS_ZERO, sample_format, fill_order, bits, extra): modes
        for (order, photometric, sample_format, fill_order, bits, extra), modes in TiffImagePlugin.OPEN_INFO.items()
        if photometric == pages.BLACK_IS_ZERO and max(bits) > 8
    }
)


class TiffFile(TiffImagePlugin.TiffImageFile):
    """Pillow's reader of one page.

    Loading raises UnreadableImage if strips or tiles are missing, which neither Pillow nor libtiff reports.
    """

    file: bytes  # all its bytes
    page: Page

    def load(self) -> Any:
        """Decode the page, once."""
        if self.tile:
            _check_strips(self.page, self.file)
        return super().load()


def open(data: bytes, limits: DecodeLimits) -> OpenedFile:
    """Raises UnsupportedImage for several films, an intact layout that is not read, and a directory that would take seconds to
    read; ImageTooLarge; UnreadableImage, struct.error or KeyError if damaged.
    """
    film, copies = pages.find_film(pages.read_pages(data), limits.max_pixels)
    image = _open_page(data, film)
    is_slow = bool(copies) or _is_jpeg(image)  # copies are decoded as well, and JPEG data once more
    return open_picture(image, limits, is_slow=is_slow, to_grey=lambda image: _to_grey(image, copies))


def _to_grey(image: TiffFile, copies: list[Page]) -> GreyPixels:
    """The decoded film -> uint8 [H, W], upright. Raises UnsupportedImage if a copy shows another film."""
    pixels = _page_to_grey(image)
    if _is_jpeg(image):
        _check_jpeg_data(image)
    for page in copies:
        copy = _open_page(image.file, page)
        copy.load()
        reduced = [
            cv2.resize(each, (_COMPARED_PX, _COMPARED_PX), interpolation=cv2.INTER_AREA)
            for each in (pixels, _page_to_grey(copy))
        ]
        if cv2.absdiff(*reduced).mean() > _MOST_DIFFERENCE:
            raise pages.several_films()
    return pixels


def _is_jpeg(image: TiffFile) -> bool:
    return bool(image.tag_v2.get(Tag.Compression) == pages.JPEG)


def _open_page(data: bytes, page: Page) -> TiffFile:
    # As if it were the first page: Pillow opens that one.
    offset = struct.pack(pages.byte_order(data) + "I", page.offset)
    try:
        image = TiffFile(io.BytesIO(data if data[4:8] == offset else data[:4] + offset + data[8:]))
    except (SyntaxError, KeyError) as fault:
        raise pages.unread(page) from fault
    image.file, image.page = data, page
    exif = image.getexif()
    for directory in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo, ExifTags.IFD.Interop):
        exif.pop(directory, None)  # Pillow would read these while decoding; `read_pages` has not limited their values
    colours = image.tag_v2.get(Tag.ColorMap, ())
    if image.mode in ("P", "PA") and max(colours) < 1 << 8:
        # Colours of 8 bits instead of 16, which libtiff reads too; Pillow would keep the upper 8.
        image.palette = ImagePalette.raw("RGB;L", bytes(colours))
    return image


def _page_to_grey(image: TiffFile) -> GreyPixels:
    pixels = grey.from_image(image)
    is_signed = _SIGNED in image.tag_v2.get(Tag.SampleFormat, ()) and 8 in image.tag_v2.get(Tag.BitsPerSample, ())
    if is_signed and pixels.max() > 127:  # Pillow reads negative samples of 8 bits as 128 to 255
        raise UnsupportedImage(f"The TIFF image has negative grey values; {pages.SAVE_PLAIN}")
    # Pillow has inverted 8-bit films itself; it takes a missing tag for 0.
    is_negative = image.tag_v2.get(Tag.PhotometricInterpretation, pages.WHITE_IS_ZERO) == pages.WHITE_IS_ZERO
    return 255 - pixels if is_negative and grey.is_deep(image) else pixels


def _check_strips(page: Page, data: bytes) -> None:
    """Raise UnreadableImage if strips or tiles are missing, or hold JPEG data of fewer rows than they must."""
    is_tiled = Tag.TileOffsets in page.tags and Tag.StripOffsets not in page.tags
    width, length = page.size
    rows = page.tags.get(Tag.TileLength if is_tiled else Tag.RowsPerStrip, (length,))[0] or 1
    columns = (page.tags.get(Tag.TileWidth, (width,))[0] or 1) if is_tiled else width
    offsets = page.values(Tag.TileOffsets if is_tiled else Tag.StripOffsets)
    is_planar = page.first(Tag.PlanarConfiguration) == 2
    planes = _COLOURS.get(page.first(Tag.PhotometricInterpretation), 1) if is_planar else 1
    per_plane = -(-length // rows) * -(-width // columns)
    if len(offsets) < per_plane * planes or not all(offsets[: per_plane * planes]):
        raise UnreadableImage("The TIFF file lacks some of its image's strips or tiles; export the film again.")
    if page.first(Tag.Compression) != pages.JPEG:
        return
    for number, offset in enumerate(offsets):
        # The last strip may be as short as the film; a tile is always whole.
        expected = rows if is_tiled else min(rows, length - number % per_plane * rows)
        frame = _JPEG_FRAME.search(data, offset, offset + _JPEG_FRAME_WITHIN_BYTES)
        if frame and int.from_bytes(frame[2], "big") < expected:
            raise UnreadableImage("The TIFF file's JPEG data have fewer rows than its image; export the film again.")


def _check_jpeg_data(image: TiffFile) -> None:
    """Raise UnreadableImage if a strip or tile ends early: libtiff makes up the rest, and only prints a warning.

    Each is a JPEG file of its own but for its tables, if those are in a tag (Photoshop TIFF Technical Note 2).
    """
    tags = image.tag_v2
    tables = tags.get(Tag.JPEGTables, b"")
    is_tiled = Tag.TileOffsets in tags
    offsets = tags[Tag.TileOffsets if is_tiled else Tag.StripOffsets]
    lengths = tags.get(Tag.TileByteCounts if is_tiled else Tag.StripByteCounts, ())
    for offset, length in zip(offsets, lengths, strict=False):
        coded = image.file[offset : offset + length]
        data = tables[: -len(_END_OF_JPEG)] + coded[len(_START_OF_JPEG) :] if tables else coded
        if lacks_data(data, read_structure(data), samples_of(data)):
            raise UnreadableImage("The TIFF file's JPEG data end before their last pixel; export the film again.")
