"""TIFF beyond what Pillow settles: which page is the film, layouts that are not read, polarity of deep films, and files made to
be slow.

Sources: TIFF 6.0, sections 2 (directory), 3 (strips), 4 (PhotometricInterpretation), 8 (samples), 15 (tiles), 19
(SampleFormat); Adobe Photoshop TIFF Technical Notes 1 and 2 (compression); BigTIFF.
"""

import io
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import cv2
from PIL import ExifTags, ImagePalette, TiffImagePlugin

from service.film import grey
from service.film.errors import ImageTooLarge, UnreadableImage, UnsupportedImage
from service.film.formats import jpeg as jpeg_file
from service.film.formats import jpeg_structure as jpeg
from service.film.grey import GreyPixels

# A film of one row a strip has some 10000 strips, each with an offset and a length. Each value costs Pillow microseconds.
MAX_VALUES = 100_000
# A film with thumbnails and a pyramid of smaller copies has about ten.
MAX_PAGES = 100
# Each is decoded to be compared, and takes a quarter of the film's time at most.
MAX_COPIES = 8
# Whatever way a copy was reduced, it is the same film so small to a few grey levels, and no other film is.
_COMPARED_PX = 32
_MOST_DIFFERENCE = 4

_NEW_SUBFILE_TYPE, _SUBFILE_TYPE = 254, 255
_WIDTH, _LENGTH = 256, 257
_BITS_PER_SAMPLE = 258
_COMPRESSION = 259
_PHOTOMETRIC_INTERPRETATION = 262
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _YCBCR = 0, 1, 6
_FILL_ORDER, _LOWEST_BIT_FIRST = 266, 2
_STRIP_OFFSETS, _STRIP_BYTES = 273, 279
_SAMPLES_PER_PIXEL = 277
_ROWS_PER_STRIP = 278
_PLANAR_CONFIGURATION = 284
_PREDICTOR = 317
_COLOR_MAP = 320
_TILE_WIDTH, _TILE_LENGTH = 322, 323
_TILE_OFFSETS, _TILE_BYTES = 324, 325
_SAMPLE_FORMAT = 339
_JPEG_TABLES = 347
_SUBSAMPLING = 530
_READ_TAGS = (
    _NEW_SUBFILE_TYPE, _SUBFILE_TYPE, _WIDTH, _LENGTH, _BITS_PER_SAMPLE, _COMPRESSION, _PHOTOMETRIC_INTERPRETATION, _FILL_ORDER,
    _SAMPLES_PER_PIXEL, _ROWS_PER_STRIP, _PLANAR_CONFIGURATION, _PREDICTOR, _TILE_WIDTH, _TILE_LENGTH, _SAMPLE_FORMAT,
    _SUBSAMPLING, _STRIP_OFFSETS, _TILE_OFFSETS,
)  # fmt: skip

_ENTRY_BYTES = 12
_KINDS_KEPT_AS_BYTES = (1, 2, 7)  # BYTE, ASCII, UNDEFINED: profiles and texts, which are not taken apart
# BYTE, SHORT, LONG, their signed kinds, IFD, and BigTIFF's: libtiff takes a number of any of them.
_NUMBERS = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 13: "I", 16: "Q", 17: "q"}

# Bits of NewSubfileType, and the value of the older SubfileType that means the same as the first.
_REDUCED, _MASK = 1, 4
_OLD_REDUCED = 2

_UNSIGNED, _SIGNED, _FLOATING = 1, 2, 3
_SAMPLE_FORMATS = {4: "of undefined format", 5: "of complex integers", 6: "of complex numbers"}

_UNCOMPRESSED, _JPEG, _PACKBITS = 1, 7, 32773
_READ_COMPRESSIONS = frozenset(TiffImagePlugin.COMPRESSION_INFO) - {50001}  # WebP: Pillow's libtiff comes without it
_COMPRESSIONS = {
    32766: "NeXT run lengths", 34661: "JBIG", 34712: "JPEG 2000", 33003: "JPEG 2000", 33005: "JPEG 2000", 34887: "LERC",
    34892: "lossy JPEG of DNG", 34933: "PNG", 34934: "JPEG XR", 22610: "JPEG XR", 50001: "WebP", 50002: "JPEG XL",
    52546: "JPEG XL", 34713: "Nikon NEF", 32767: "Sony ARW", 65000: "Kodak DCR", 65535: "Pentax PEF",
}  # fmt: skip
_PHOTOMETRICS = {
    4: "a transparency mask", 8: "CIE Lab colour", 9: "ICC Lab colour", 10: "ITU Lab colour", 32803: "raw data of a camera",
    32844: "CIE Log luminance", 32845: "CIE Log colour", 34892: "raw data of a camera",
}  # fmt: skip
_COLOURS = {2: 3, 5: 4, _YCBCR: 3}  # RGB, CMYK, YCbCr; extra samples are not needed
_SAVE = "save it as an uncompressed TIFF with 8 or 16 bit grey values, or as a PNG."

# Pillow reads BlackIsZero at every depth but WhiteIsZero, of more than 8 bits, in little endian of 16 bits only; then it
# does not invert. The same layouts are read for both here, and `to_grey` inverts what remains.
TiffImagePlugin.OPEN_INFO.update(
    {
        (order, _WHITE_IS_ZERO, sample_format, fill_order, bits, extra): modes
        for (order, photometric, sample_format, fill_order, bits, extra), modes in TiffImagePlugin.OPEN_INFO.items()
        if photometric == _BLACK_IS_ZERO and max(bits) > 8
    }
)


@dataclass(frozen=True)
class Directory:
    """One page. start: where it is. values: of the tags that say what it is and how it is laid out."""

    start: int
    values: Mapping[int, tuple[int, ...]]

    def first(self, tag: int, default: int) -> int:
        """The tag's only or first value."""
        return self.values.get(tag, (default,))[0]

    @property
    def is_film(self) -> bool:
        """Whether it is a picture of its own, and neither a reduced copy of another page nor a mask for one."""
        subfile = self.first(_NEW_SUBFILE_TYPE, 0)
        return not subfile & (_REDUCED | _MASK) and self.first(_SUBFILE_TYPE, 1) != _OLD_REDUCED

    @property
    def size(self) -> tuple[int, int]:
        """Columns and rows."""
        return self.first(_WIDTH, 0), self.first(_LENGTH, 0)

    @property
    def area(self) -> int:
        """Columns times rows."""
        return self.size[0] * self.size[1]

    def looks_reduced_from(self, film: "Directory") -> bool:
        """Whether it has at most half the film's sides, of the same proportion but for rounding, as EXIF's thumbnails have."""
        (width, length), (film_width, film_length) = self.size, film.size
        is_smaller = 2 * width <= film_width and 2 * length <= film_length
        return is_smaller and abs(width * film_length - length * film_width) <= max(film.size)


class TiffFile(TiffImagePlugin.TiffImageFile):
    """Pillow's reader of one page. file: the whole. copies: pages that look like reduced copies of this one.

    Loading raises UnreadableImage if strips or tiles are missing, of which neither Pillow nor libtiff says anything.
    """

    file: bytes
    page: Directory
    copies: tuple[Directory, ...] = ()

    def load(self) -> Any:
        """Decode the page, once."""
        if self.tile:
            _check_strips(self.page, self.file)
        return super().load()


def open_file(data: bytes, max_pixels: int) -> TiffFile:
    """The film, not yet decoded. max_pixels: of its tiles as well, which may hang over.

    Raises UnsupportedImage for several films, an intact layout that is not read, and a directory that would take seconds to
    read; ImageTooLarge; UnreadableImage, struct.error or KeyError if damaged.
    """
    film, *copies = film_pages(read_directories(data))
    _check_layout(film, max_pixels)
    for page in copies:
        try:
            _check_layout(page, max_pixels)
        except UnsupportedImage as fault:  # whether it is a copy cannot be seen
            raise _several() from fault
    image = _open_page(data, film)
    image.copies = tuple(copies)
    return image


def to_grey(image: TiffFile) -> GreyPixels:
    """The decoded film -> uint8 [H, W], upright. Raises UnsupportedImage for what turns out to be no single grey film."""
    pixels = _page_to_grey(image)
    if is_of_jpeg(image):
        _check_jpeg_data(image)
    for page in image.copies:
        copy = _open_page(image.file, page)
        copy.load()
        sides = [
            cv2.resize(each, (_COMPARED_PX, _COMPARED_PX), interpolation=cv2.INTER_AREA)
            for each in (pixels, _page_to_grey(copy))
        ]
        if cv2.absdiff(*sides).mean() > _MOST_DIFFERENCE:
            raise _several()
    return pixels


def is_of_jpeg(image: TiffFile) -> bool:
    """Whether its strips or tiles are JPEG, which a codec decodes another time that a server keeps out of its process."""
    return bool(image.tag_v2.get(_COMPRESSION) == _JPEG)


def _check_jpeg_data(image: TiffFile) -> None:
    """Raise UnreadableImage if a strip or tile ends early; libtiff fills it up, and warns where nobody hears it.

    Each is a JPEG file of its own but for its tables, if those are in a tag (Photoshop TIFF Technical Note 2).
    """
    tables = image.tag_v2.get(_JPEG_TABLES, b"")
    tags = image.tag_v2
    places, lengths = (_TILE_OFFSETS, _TILE_BYTES) if _TILE_OFFSETS in tags else (_STRIP_OFFSETS, _STRIP_BYTES)
    for offset, length in zip(tags[places], tags.get(lengths, ()), strict=False):
        coded = image.file[offset : offset + length]
        data = tables[: -len(_END_OF_JPEG)] + coded[len(_START_OF_JPEG) :] if tables else coded
        if jpeg_file.lacks_data(data, jpeg.check_segments(data), jpeg_file.samples_of(data)):
            raise UnreadableImage("The TIFF file's JPEG data end before their last pixel; export the film again.")


def _open_page(data: bytes, page: Directory) -> TiffFile:
    # As if it were the first page: Pillow opens that one.
    start = struct.pack(_order(data) + "I", page.start)
    try:
        image = TiffFile(io.BytesIO(data if data[4:8] == start else data[:4] + start + data[8:]))
    except (SyntaxError, KeyError) as fault:
        bits = ", ".join(map(str, page.values.get(_BITS_PER_SAMPLE, (1,))))
        raise UnsupportedImage(f"The TIFF image has samples of {bits} bits in a layout that is not read; {_SAVE}") from fault
    image.file, image.page = data, page
    _skip_subdirectories(image)
    colours = image.tag_v2.get(_COLOR_MAP, ())
    if image.mode in ("P", "PA") and max(colours) < 1 << 8:
        # Colours of 8 bits instead of 16, as libtiff reads such a map too; Pillow keeps the upper 8.
        image.palette = ImagePalette.raw("RGB;L", bytes(colours))
    return image


def _page_to_grey(image: TiffFile) -> GreyPixels:
    pixels = grey.from_image(image)
    is_signed = _SIGNED in image.tag_v2.get(_SAMPLE_FORMAT, ()) and 8 in image.tag_v2.get(_BITS_PER_SAMPLE, ())
    if is_signed and pixels.max() > 127:  # Pillow takes negative samples of 8 bits for those
        raise UnsupportedImage(f"The TIFF image has negative grey values; {_SAVE}")
    # Pillow has inverted 8-bit films itself; it takes a missing tag for 0.
    is_negative = image.tag_v2.get(_PHOTOMETRIC_INTERPRETATION, _WHITE_IS_ZERO) == _WHITE_IS_ZERO
    return 255 - pixels if is_negative and grey.is_deep(image) else pixels


def read_directories(data: bytes) -> list[Directory]:
    """All pages.

    Raises UnsupportedImage for directories of so many values that reading them would take seconds, UnreadableImage,
    struct.error or KeyError for a damaged one.
    """
    order = _order(data)
    (start,) = struct.unpack_from(order + "I", data, 4)
    pages: list[Directory] = []
    values = 0
    while start and start not in (page.start for page in pages):
        if len(pages) == MAX_PAGES:
            raise UnsupportedImage(f"The TIFF file holds more than {MAX_PAGES} pages; send one film per file.")
        (entries,) = struct.unpack_from(order + "H", data, start)
        numbers: dict[int, tuple[int, ...]] = {}
        for entry in range(start + 2, start + 2 + entries * _ENTRY_BYTES, _ENTRY_BYTES):
            tag, kind, count = struct.unpack_from(order + "HHI", data, entry)
            if kind not in _KINDS_KEPT_AS_BYTES or tag in _READ_TAGS:
                values += count
            if values > MAX_VALUES:
                raise UnsupportedImage(
                    f"The TIFF file lists more than {MAX_VALUES} values in its directory; save it in fewer strips or tiles."
                )
            if tag in _READ_TAGS and count:
                kinds = f"{order}{count}{_NUMBERS[kind]}"  # KeyError for what is no whole number
                offset = entry + 8
                if struct.calcsize(kinds) > 4:
                    (offset,) = struct.unpack_from(order + "I", data, offset)
                numbers[tag] = struct.unpack_from(kinds, data, offset)
                if min(numbers[tag]) < 0:
                    raise _damaged()
        pages.append(Directory(start, numbers))
        next_at = start + 2 + entries * _ENTRY_BYTES
        (start,) = struct.unpack(order + "I", data[next_at : next_at + 4].ljust(4, b"\0"))
    return pages


def film_pages(pages: list[Directory]) -> list[Directory]:
    """The page that is the film, and behind it those that look like reduced copies of it without saying so.

    Raises UnsupportedImage if there are several films.
    """
    film, *others = sorted([page for page in pages if page.is_film] or pages, key=lambda page: page.area, reverse=True)
    if len(others) > MAX_COPIES or not all(page.looks_reduced_from(film) for page in others):
        raise _several()
    return [film, *others]


def _damaged() -> UnreadableImage:
    return UnreadableImage("The TIFF file is damaged or truncated; export the film again.")


def _several() -> UnsupportedImage:
    return UnsupportedImage("The TIFF file holds more than one frame or page; send one film per file.")


def _order(data: bytes) -> str:
    return "<" if data[:2] == b"II" else ">"


def _check_layout(page: Directory, max_pixels: int) -> None:
    if not page.area:
        raise _damaged()
    compression, photometric = page.first(_COMPRESSION, _UNCOMPRESSED), page.first(_PHOTOMETRIC_INTERPRETATION, _WHITE_IS_ZERO)
    bits, sample_format = page.first(_BITS_PER_SAMPLE, 1), page.first(_SAMPLE_FORMAT, _UNSIGNED)
    if compression not in _READ_COMPRESSIONS:
        name = _COMPRESSIONS.get(compression, f"kind {compression}")
        raise UnsupportedImage(f"The TIFF image is compressed as {name}, which is not read; {_SAVE}")
    if photometric in _PHOTOMETRICS:
        raise UnsupportedImage(f"The TIFF image is {_PHOTOMETRICS[photometric]}, which is not read; {_SAVE}")
    if sample_format == _FLOATING:
        raise UnsupportedImage(f"The TIFF image has {bits}-bit floating-point pixels; export it with 8 or 16 bit grey values.")
    if sample_format in _SAMPLE_FORMATS:
        raise UnsupportedImage(f"The TIFF image has samples {_SAMPLE_FORMATS[sample_format]}, which are not read; {_SAVE}")
    if photometric in (_WHITE_IS_ZERO, _BLACK_IS_ZERO) and bits not in (1, 2, 4, 8, 12, 16, 32):
        raise UnsupportedImage(f"The TIFF image has grey values of {bits} bits, which are not read; {_SAVE}")
    if photometric not in (_WHITE_IS_ZERO, _BLACK_IS_ZERO) and bits > 8:
        raise UnsupportedImage("The TIFF image has 16-bit colour; save it as a 16-bit grey TIFF or as a 16-bit PNG.")
    has_differences = page.first(_PREDICTOR, 1) != 1 and compression != _UNCOMPRESSED
    if has_differences and bits not in (8, 16, 32):  # nor does libtiff read them
        raise UnsupportedImage(f"The TIFF image has differences of neighbours in place of {bits}-bit values; {_SAVE}")
    # Of these libtiff takes no notice of it, and other programs do (TIFF 6.0, section 14).
    if has_differences and compression == _PACKBITS:
        raise UnsupportedImage(f"The TIFF image may or may not have differences of neighbours in place of values; {_SAVE}")
    is_reversed = page.first(_FILL_ORDER, 1) == _LOWEST_BIT_FIRST and compression == _UNCOMPRESSED
    if is_reversed and photometric == _WHITE_IS_ZERO and bits == 8:  # Pillow does one or the other
        raise UnsupportedImage(f"The TIFF image has its bits in reverse order, which is not read; {_SAVE}")
    is_subsampled = photometric == _YCBCR and page.values.get(_SUBSAMPLING, (2, 2)) != (1, 1)
    if is_subsampled and compression == _UNCOMPRESSED:  # Pillow takes the samples for whole ones
        raise UnsupportedImage(f"The TIFF image has subsampled colour without compression, which is not read; {_SAVE}")
    _check_tiles(page, max_pixels)


def _check_tiles(page: Directory, max_pixels: int) -> None:
    """Tiles are decoded whole: what lies outside the film costs the same."""
    tile_width, tile_length = max(1, page.first(_TILE_WIDTH, 1)), max(1, page.first(_TILE_LENGTH, 1))
    across, down = -(-page.size[0] // tile_width), -(-page.size[1] // tile_length)
    if _TILE_WIDTH in page.values and (pixels := across * tile_width * down * tile_length) > max_pixels:
        raise ImageTooLarge(
            f"The TIFF image's tiles of {tile_width} x {tile_length} px have {pixels} pixels together, over the limit "
            f"of {max_pixels}; save it with smaller tiles or none."
        )


_START_OF_JPEG, _END_OF_JPEG = b"\xff\xd8", b"\xff\xd9"

# Frame header of a JPEG (ITU-T T.81, B.2.2): marker, length, bits, height and width.
_JPEG_FRAME_WITHIN_BYTES = 1024  # behind a quantisation and four Huffman tables at most
_JPEG_FRAME = re.compile(rb"\xff[\xc0-\xc3\xc9-\xcb]..(.)(..)(..)", re.DOTALL)


def _check_strips(page: Directory, data: bytes) -> None:
    is_tiled = _TILE_OFFSETS in page.values and _STRIP_OFFSETS not in page.values
    width, length = page.size
    rows = page.first(_TILE_LENGTH if is_tiled else _ROWS_PER_STRIP, length) or 1
    columns = (page.first(_TILE_WIDTH, width) or 1) if is_tiled else width
    offsets = page.values.get(_TILE_OFFSETS if is_tiled else _STRIP_OFFSETS, ())
    is_planar = page.first(_PLANAR_CONFIGURATION, 1) == 2
    planes = _COLOURS.get(page.first(_PHOTOMETRIC_INTERPRETATION, _WHITE_IS_ZERO), 1) if is_planar else 1
    per_plane = -(-length // rows) * -(-width // columns)
    if len(offsets) < per_plane * planes or not all(offsets[: per_plane * planes]):
        raise UnreadableImage("The TIFF file lacks some of its image's strips or tiles; export the film again.")
    if page.first(_COMPRESSION, _UNCOMPRESSED) != _JPEG:
        return
    for number, offset in enumerate(offsets):
        # The last strip may be as short as the film; a tile is always whole.
        expected = rows if is_tiled else min(rows, length - number % per_plane * rows)
        frame = _JPEG_FRAME.search(data, offset, offset + _JPEG_FRAME_WITHIN_BYTES)
        if frame and int.from_bytes(frame[2], "big") < expected:
            raise UnreadableImage("The TIFF file's JPEG data have fewer rows than its image; export the film again.")


def _skip_subdirectories(image: TiffImagePlugin.TiffImageFile) -> None:
    """Have Pillow decode without reading the EXIF and GPS directories, whose values `read_directories` has not counted."""
    exif = image.getexif()
    for directory in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo, ExifTags.IFD.Interop):
        exif.pop(directory, None)
