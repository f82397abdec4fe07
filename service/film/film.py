"""Bytes -> Radiograph: one decoder for training, export and the service.

Recognises the format once and hands the bytes to that format's opener. Knows nothing of models or HTTP.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

from PIL.Image import DecompressionBombError

from service.film import grey, transfer_damage
from service.film.arrays import GreyPixels
from service.film.dicom import reader as dicom
from service.film.errors import ImageTooLarge, UnreadableImage, UnsupportedFormat, damaged
from service.film.file_format import sniff_format
from service.film.formats import bmp, png, webp
from service.film.formats.jpeg import reader as jpeg
from service.film.formats.tiff import reader as tiff
from service.film.limits import DecodeLimits
from service.film.opened_file import DecodedFile, OpenedFile
from service.film.picture import DAMAGED

Orientation = Literal["stated", "assumed"]

_OPENERS: Mapping[str, Callable[[bytes, DecodeLimits], OpenedFile]] = {
    "bmp": bmp.open,
    "dicom": dicom.open,
    "jpeg": jpeg.open,
    "png": png.open,
    "tiff": tiff.open,
    "webp": webp.open,
}

_ON_ITS_SIDE = (5, 6, 7, 8)  # EXIF orientations that exchange the axes


@dataclass(frozen=True)
class Radiograph:
    """One film, decoded and validated.

    width_px, height_px: size as stored in the file, upright.
    """

    # Grey values, uint8 [H, W], MONOCHROME2 polarity (air dark, bone bright; DICOM PS3.3 C.7.6.3.1.2), upright, read-only. JPEG
    # films may be smaller than width_px x height_px: see `from_bytes`.
    pixels: GreyPixels
    format: str  # "jpeg", "png", "tiff", "bmp", "webp" or "dicom"
    width_px: int
    height_px: int
    mean_chroma: float = 0.0  # how coloured the picture was before it was reduced to grey, 0..255; see `picture.mean_chroma`
    denies_frontal_chest: bool = False  # whether the header says that this is no frontal chest film; see `dicom.object`
    # "stated" if a DICOM header says how the film lies: the patient's right is on the left of `pixels` then. "assumed" if the
    # film is taken to lie as films usually do. See `dicom.orientation`.
    orientation: Orientation = "assumed"
    # Whether a DICOM header asked for a quarter turn, which was made; see `service.model.upright`
    lay_on_its_side: bool = False
    display_fault: str = ""  # why the grey values are not shown as the DICOM header asks, "" if they are; see `dicom.display`

    @classmethod
    def from_bytes(cls, data: bytes, *, decode_side_px: int | None = None, limits: DecodeLimits | None = None) -> "Radiograph":
        """Read one film; its format is recognised by its first bytes, whatever its name or declared type.

        decode_side_px: a JPEG may be decoded at 1/2, 1/4 or 1/8 scale (in the DCT domain) as long as both sides stay at
            least this long; None decodes it whole.

        Raises UnsupportedFormat, UnreadableImage, UnsupportedImage, UnsupportedDicom, ImageTooSmall, ImageTooLarge or
        AspectRatioTooExtreme. Size limits are checked on the header, before pixels are decoded.
        """
        return open_film(data, limits or DecodeLimits()).decode(decode_side_px)


@dataclass(frozen=True)
class OpenedFilm:
    """A film whose header was read and checked, and whose pixels are not decoded yet."""

    format: str  # see `Radiograph`
    is_costly: bool  # see `OpenedFile`
    _file: OpenedFile = field(repr=False)

    def decode(self, decode_side_px: int | None) -> Radiograph:
        """Decode the pixels; see `Radiograph.from_bytes`."""
        with _damage_reported(self.format):
            return _upright(self._file.decode(decode_side_px), self.format)


def open_film(data: bytes, limits: DecodeLimits) -> OpenedFilm:
    """Read and check a film's header, in a millisecond. Raises as `Radiograph.from_bytes`."""
    format_name, unsupported = "", None
    try:
        format_name = sniff_format(data)
    except UnsupportedFormat as fault:
        unsupported = fault
    if explained := transfer_damage.explain(data, format_name):
        raise UnreadableImage(explained) from unsupported
    if unsupported:
        raise unsupported
    with _damage_reported(format_name):
        file = _OPENERS[format_name](data, limits)
    return OpenedFilm(format_name, file.is_costly, file)


@contextmanager
def _damage_reported(format_name: str) -> Iterator[None]:
    """Raise UnreadableImage for what libraries raise on damage; their own messages may quote the file."""
    try:
        yield
    except DecompressionBombError as fault:  # of Pillow, which checks the sizes of WebP files and TIFF tiles itself
        raise ImageTooLarge("The image has more pixels than can be decoded; send a smaller copy.") from fault
    except DAMAGED as fault:
        raise damaged(format_name.upper()) from fault


def _upright(file: DecodedFile, format_name: str) -> Radiograph:
    is_on_its_side = file.exif_orientation in _ON_ITS_SIDE
    size = (file.height_px, file.width_px) if is_on_its_side else (file.width_px, file.height_px)
    pixels = grey.upright(file.pixels, file.exif_orientation)
    pixels.setflags(write=False)
    return Radiograph(
        pixels,
        format_name,
        *size,
        mean_chroma=file.mean_chroma,
        denies_frontal_chest=file.denies_frontal_chest,
        orientation="stated" if file.is_orientation_stated else "assumed",
        lay_on_its_side=file.is_orientation_stated and is_on_its_side,
        display_fault=file.display_fault,
    )
