"""The pages of a TIFF file: reads its directories, finds the page that is the film, and refuses layouts that are read wrongly.

Sources: TIFF 6.0, sections 2 (directory), 8 (samples), 15 (tiles), 19 (SampleFormat); Adobe Photoshop TIFF Technical Notes 1
and 2 (compression); BigTIFF.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass

from PIL.ExifTags import Base as Tag

from service.film.errors import ImageTooLarge, UnsupportedImage, damaged

# A film of one row a strip has some 10000 strips, each with an offset and a length. Each value costs Pillow microseconds.
MAX_VALUES = 100_000
# A film with thumbnails and a pyramid of smaller copies has about ten.
MAX_PAGES = 100
# Each is decoded and compared with the film, in at most a quarter of the film's time.
MAX_COPIES = 8

SAVE_PLAIN = "save it as an uncompressed TIFF with 8 or 16 bit grey values, or as a PNG."

WHITE_IS_ZERO, BLACK_IS_ZERO, YCBCR = 0, 1, 6  # PhotometricInterpretation
UNCOMPRESSED, JPEG, _PACKBITS = 1, 7, 32773  # Compression
_WEBP = 50001  # for which Pillow's libtiff has no decoder
_CIE_LAB = 8  # PhotometricInterpretation
_FLOATING = 3  # SampleFormat
_LOWEST_BIT_FIRST = 2  # FillOrder
# Bits of NewSubfileType, and the value of the older SubfileType that means the same as the first.
_REDUCED, _MASK = 1, 4
_OLD_REDUCED = 2

# The tags that are read, and the value that each has where it is missing.
_DEFAULTS: Mapping[int, tuple[int, ...]] = {
    Tag.NewSubfileType: (0,), Tag.SubfileType: (1,), Tag.ImageWidth: (0,), Tag.ImageLength: (0,), Tag.BitsPerSample: (1,),
    Tag.Compression: (UNCOMPRESSED,), Tag.PhotometricInterpretation: (WHITE_IS_ZERO,), Tag.FillOrder: (1,),
    Tag.StripOffsets: (), Tag.SamplesPerPixel: (1,), Tag.RowsPerStrip: (), Tag.PlanarConfiguration: (1,), Tag.Predictor: (1,),
    Tag.TileWidth: (1,), Tag.TileLength: (1,), Tag.TileOffsets: (), Tag.SampleFormat: (1,), Tag.YCbCrSubSampling: (2, 2),
}  # fmt: skip

_ENTRY_BYTES = 12
_KINDS_KEPT_AS_BYTES = (1, 2, 7)  # BYTE, ASCII, UNDEFINED: profiles and texts, which Pillow does not parse
# BYTE, SHORT, LONG, their signed kinds, IFD, and BigTIFF's: libtiff takes a number of any of them.
_NUMBERS = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 13: "I", 16: "Q", 17: "q"}


@dataclass(frozen=True)
class Page:
    """One page of the file."""

    offset: int  # of its directory in the file
    tags: Mapping[int, tuple[int, ...]]  # the values of the tags in _DEFAULTS that it has

    def values(self, tag: int) -> tuple[int, ...]:
        """The tag's values, or its default."""
        return self.tags.get(tag, _DEFAULTS[tag])

    def first(self, tag: int) -> int:
        """The tag's only or first value, or its default."""
        return self.values(tag)[0]

    @property
    def is_film(self) -> bool:
        """Whether it is a picture of its own, and neither a reduced copy of another page nor a mask for one."""
        subfile = self.first(Tag.NewSubfileType)
        return not subfile & (_REDUCED | _MASK) and self.first(Tag.SubfileType) != _OLD_REDUCED

    @property
    def size(self) -> tuple[int, int]:
        """Columns and rows."""
        return self.first(Tag.ImageWidth), self.first(Tag.ImageLength)

    @property
    def area(self) -> int:
        """Columns times rows."""
        return self.size[0] * self.size[1]

    def looks_reduced_from(self, film: "Page") -> bool:
        """Whether it has at most half the film's sides, of the same proportion but for rounding, as EXIF's thumbnails have."""
        (width, length), (film_width, film_length) = self.size, film.size
        is_smaller = 2 * width <= film_width and 2 * length <= film_length
        return is_smaller and abs(width * film_length - length * film_width) <= max(film.size)


def read_pages(data: bytes) -> list[Page]:
    """All pages.

    Raises UnsupportedImage for more pages or values than films have, UnreadableImage, struct.error or KeyError if damaged.
    """
    order = byte_order(data)
    (offset,) = struct.unpack_from(order + "I", data, 4)
    pages: list[Page] = []
    values = 0
    while offset and offset not in (page.offset for page in pages):
        if len(pages) == MAX_PAGES:
            raise UnsupportedImage(f"The TIFF file holds more than {MAX_PAGES} pages; send one film per file.")
        (entries,) = struct.unpack_from(order + "H", data, offset)
        end = offset + 2 + entries * _ENTRY_BYTES
        tags: dict[int, tuple[int, ...]] = {}
        for entry in range(offset + 2, end, _ENTRY_BYTES):
            tag, kind, count = struct.unpack_from(order + "HHI", data, entry)
            if kind not in _KINDS_KEPT_AS_BYTES or tag in _DEFAULTS:
                values += count
            if values > MAX_VALUES:
                raise UnsupportedImage(
                    f"The TIFF file lists more than {MAX_VALUES} values in its directory; save it in fewer strips or tiles."
                )
            if tag in _DEFAULTS and count:
                tags[tag] = _numbers(data, f"{order}{count}{_NUMBERS[kind]}", entry + 8)  # KeyError: no whole number
        pages.append(Page(offset, tags))
        (offset,) = struct.unpack(order + "I", data[end : end + 4].ljust(4, b"\0"))
    return pages


def _numbers(data: bytes, kinds: str, offset: int) -> tuple[int, ...]:
    """The values of one entry. kinds: for `struct`. offset: of the values, or of their offset if they take over 4 bytes."""
    if struct.calcsize(kinds) > 4:
        (offset,) = struct.unpack_from(kinds[0] + "I", data, offset)
    numbers = struct.unpack_from(kinds, data, offset)
    if min(numbers) < 0:
        raise damaged("TIFF")
    return numbers


def byte_order(data: bytes) -> str:
    """The file's byte order, as `struct` writes it."""
    return "<" if data[:2] == b"II" else ">"


def find_film(pages: list[Page], max_pixels: int) -> tuple[Page, list[Page]]:
    """The page that is the film, and those that look like reduced copies of it without saying so.

    max_pixels: limit for the tiles of a page, which may reach beyond it.

    Raises UnsupportedImage for several films or an intact layout that is not read; ImageTooLarge; UnreadableImage.
    """
    film, *copies = sorted([page for page in pages if page.is_film] or pages, key=lambda page: page.area, reverse=True)
    if len(copies) > MAX_COPIES or not all(page.looks_reduced_from(film) for page in copies):
        raise several_films()
    _check_layout(film, max_pixels)
    for page in copies:
        try:
            _check_layout(page, max_pixels)
        except UnsupportedImage as fault:  # it cannot be compared with the film
            raise several_films() from fault
    return film, copies


def several_films() -> UnsupportedImage:
    """The refusal of a file with more than one film."""
    return UnsupportedImage("The TIFF file holds more than one frame or page; send one film per file.")


def _check_layout(page: Page, max_pixels: int) -> None:
    if not page.area:
        raise damaged("TIFF")
    if _is_read_wrongly(page):
        raise unread(page)
    _check_tiles(page, max_pixels)


def unread(page: Page) -> UnsupportedImage:
    """The refusal of an intact page whose layout is not read."""
    return UnsupportedImage(
        f"The TIFF image is of a kind that is not read (compression {page.first(Tag.Compression)}, photometric "
        f"interpretation {page.first(Tag.PhotometricInterpretation)}, samples of {page.first(Tag.BitsPerSample)} bits and "
        f"format {page.first(Tag.SampleFormat)}); {SAVE_PLAIN}"
    )


def _is_read_wrongly(page: Page) -> bool:
    """Whether Pillow and libtiff would give wrong pixels. Layouts that they do not read at all, Pillow refuses to open."""
    compression, photometric = page.first(Tag.Compression), page.first(Tag.PhotometricInterpretation)
    bits, is_grey = page.first(Tag.BitsPerSample), photometric in (WHITE_IS_ZERO, BLACK_IS_ZERO)
    if compression == _WEBP or photometric == _CIE_LAB or page.first(Tag.SampleFormat) == _FLOATING:
        return True
    if bits > 8 and not is_grey:
        return True
    if compression != UNCOMPRESSED:
        # With PackBits libtiff ignores differences of neighbours, and other programs do not (section 14).
        return page.first(Tag.Predictor) != 1 and (bits not in (8, 16, 32) or compression == _PACKBITS)
    # Pillow inverts or reverses, but not both.
    is_reversed = page.first(Tag.FillOrder) == _LOWEST_BIT_FIRST and photometric == WHITE_IS_ZERO and bits == 8
    # Pillow takes subsampled colours for whole ones.
    return is_reversed or (photometric == YCBCR and page.values(Tag.YCbCrSubSampling) != (1, 1))


def _check_tiles(page: Page, max_pixels: int) -> None:
    """Tiles are decoded whole: what lies outside the film costs the same."""
    tile_width, tile_length = max(1, page.first(Tag.TileWidth)), max(1, page.first(Tag.TileLength))
    across, down = -(-page.size[0] // tile_width), -(-page.size[1] // tile_length)
    if Tag.TileWidth in page.tags and (pixels := across * tile_width * down * tile_length) > max_pixels:
        raise ImageTooLarge(
            f"The TIFF image's tiles of {tile_width} x {tile_length} px have {pixels} pixels together, over the limit "
            f"of {max_pixels}; save it with smaller tiles or none."
        )
