"""Bytes -> Radiograph: one decoder for training, export and serving.

Knows file formats, limits and polarity; knows nothing of models or HTTP.
"""

import io
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, cast

from PIL import Image, WebPImagePlugin

from service.film import colour, grey
from service.film import transfer_damage as mangled
from service.film.dicom import file as dicom_file
from service.film.dicom import reader as dicom
from service.film.errors import (
    AspectRatioTooExtreme,
    ImageTooLarge,
    ImageTooSmall,
    UnreadableImage,
    UnsupportedFormat,
    UnsupportedImage,
)
from service.film.file_format import sniff_format
from service.film.formats import bmp, png, tiff
from service.film.formats import jpeg as jpeg_file
from service.film.formats import jpeg_structure as jpeg

GreyPixels = grey.GreyPixels

Orientation = Literal["stated", "assumed"]

_ORIENTATION = 0x0112  # EXIF 2.3
_ON_ITS_SIDE = (5, 6, 7, 8)  # orientations that exchange the axes


@dataclass(frozen=True)
class DecodeLimits:
    """What is refused before any pixel is decoded (REPORT Table 4)."""

    min_side_px: int = 100
    max_pixels: int = 64_000_000  # a 14x17 inch plate at 0.05 mm pitch has about 61 million
    max_aspect_ratio: float = 3.0


@dataclass(frozen=True)
class Radiograph:
    """One film, decoded and validated.

    pixels: uint8 [H, W], MONOCHROME2 polarity (air dark, bone bright; DICOM PS3.3 C.7.6.3.1.2), read-only.
        JPEG films may be smaller than `width_px` x `height_px`: see `from_bytes`.
    format: "jpeg", "png", "tiff", "bmp", "webp" or "dicom".
    width_px, height_px: size as stored in the file, upright.
    mean_chroma: how coloured the picture was before it was reduced to grey, 0..255; see `colour.mean_chroma`.
    denies_frontal_chest: whether the file itself says that it is no frontal chest film; see `dicom_object`.
    orientation: "stated" if the header says how the film lies, and it was turned so that the patient's right is on the left;
        "assumed" if that is only how films usually lie. See `dicom_orientation.exif_orientation`.
    lay_on_its_side: whether a DICOM header asked for a quarter turn, which was made; see `service.model.upright`.
    display_fault: why its grey values are not shown as the file asks, "" if they are; see `display.Display`.
    """

    pixels: GreyPixels
    format: str
    width_px: int
    height_px: int
    mean_chroma: float = 0.0
    denies_frontal_chest: bool = False
    orientation: Orientation = "assumed"
    lay_on_its_side: bool = False
    display_fault: str = ""

    @classmethod
    def from_bytes(cls, data: bytes, *, decode_side_px: int | None = None, limits: DecodeLimits | None = None) -> "Radiograph":
        """Read one film whatever its declared type: the format is told by the magic bytes.

        decode_side_px: a JPEG may be decoded at 1/2, 1/4 or 1/8 scale (in the DCT domain) as long as both sides stay at
            least this long; None decodes it whole.

        Raises UnsupportedFormat, UnreadableImage, UnsupportedImage, UnsupportedDicom, ImageTooSmall, ImageTooLarge or
        AspectRatioTooExtreme. Size limits are checked on the header, before pixels are decoded.
        """
        return open_film(data, limits or DecodeLimits()).decode(decode_side_px)

    @classmethod
    def _of(
        cls, stored: GreyPixels, format_name: str, width_px: int, height_px: int, exif_orientation: int, **facts: Any
    ) -> "Radiograph":
        """The film upright. stored, width_px, height_px: as it lies in the file; facts: the other fields."""
        if exif_orientation in _ON_ITS_SIDE:
            width_px, height_px = height_px, width_px
        pixels = grey.upright(stored, exif_orientation)
        pixels.setflags(write=False)
        return cls(pixels, format_name, width_px, height_px, **facts)


@dataclass(frozen=True)
class OpenedFilm:
    """A film whose header was judged, and whose pixels are not decoded yet.

    is_costly: whether decoding takes long, or runs codecs that a server keeps out of its own process: see `service.sandbox`.
    """

    is_costly: bool
    _decoding: Callable[[int | None], Radiograph]

    def decode(self, decode_side_px: int | None) -> Radiograph:
        """Decode the pixels; see `Radiograph.from_bytes`."""
        return self._decoding(decode_side_px)


# Above these, decoding takes more than some tenths of a second. A scan of a JPEG is a pass over the whole film.
COSTLY_PIXELS = 20_000_000
COSTLY_JPEG_PASSES = 100_000_000


# As many as a JPEG may hold, see `jpeg.MAX_EXIF_SEGMENTS`; PNG and WebP know no limit.
MAX_EXIF_BYTES = 512 * 1024


def open_film(data: bytes, limits: DecodeLimits) -> OpenedFilm:
    """Judge a film by its header, in a millisecond. Raises as `Radiograph.from_bytes`."""
    try:
        format_name = sniff_format(data)
    except UnsupportedFormat:
        _refuse_mangled(data, "")
        raise
    _refuse_mangled(data, format_name)
    with _damage_reported(data, format_name):
        return _open_dicom_film(data, limits) if format_name == "dicom" else _open_picture(data, format_name, limits)


def _open_dicom_film(data: bytes, limits: DecodeLimits) -> OpenedFilm:
    if dicom_file.is_deflated(data):  # its header can only be read once it is inflated
        return OpenedFilm(True, lambda _: _decode_dicom(_open_dicom(dicom_file.inflated(data, limits.max_pixels), limits)))
    header = _open_dicom(data, limits)
    is_costly = header.is_compressed or header.width_px * header.height_px > COSTLY_PIXELS
    return OpenedFilm(is_costly, lambda _: _decode_dicom(header))


def _open_dicom(data: bytes, limits: DecodeLimits) -> dicom.DicomHeader:
    header = dicom.read_header(data)
    _check_size(header.width_px, header.height_px, limits)
    return header


def _decode_dicom(header: dicom.DicomHeader) -> Radiograph:
    shown = dicom.decode_grey(header)
    return Radiograph._of(
        shown.pixels,
        "dicom",
        header.width_px,
        header.height_px,
        header.exif_orientation or 1,
        denies_frontal_chest=header.denies_frontal_chest,
        orientation="assumed" if header.exif_orientation is None else "stated",
        lay_on_its_side=header.exif_orientation in _ON_ITS_SIDE,
        display_fault=shown.fault,
    )


def _decode_picture(image: Any, data: bytes, format_name: str, decode_side_px: int | None) -> Radiograph:
    with _damage_reported(data, format_name):
        width_px, height_px = image.size
        if isinstance(image, jpeg_file.JpegFile) and decode_side_px is not None:
            image.reduce_to(decode_side_px)
        image.load()
        # Not before: PNG's EXIF is read by decoding all of it. TIFF is upright by now, and no longer says otherwise.
        orientation = _orientation(image)
        chroma = colour.mean_chroma(image)  # now, because a film of deep colour is decoded again without its colours
        stored = _to_grey(image, data, format_name)
        return Radiograph._of(stored, format_name, width_px, height_px, orientation, mean_chroma=chroma)


def _refuse_mangled(data: bytes, format_name: str) -> None:
    if explained := mangled.explain(data, format_name):
        raise UnreadableImage(explained)


@contextmanager
def _damage_reported(data: bytes, format_name: str) -> Iterator[None]:
    """Raise UnreadableImage for what readers raise on damage, in our words: a library's may quote the file."""
    try:
        yield
    except Image.DecompressionBombError as fault:  # of WebP, whose size Pillow judges before it makes room for the film
        raise ImageTooLarge("The image has more pixels than can be decoded; send a smaller copy.") from fault
    except (UnreadableImage, *_DAMAGED) as fault:
        if explained := mangled.explain_damage(data, format_name):
            raise UnreadableImage(explained) from fault
        if isinstance(fault, UnreadableImage):
            raise
        raise UnreadableImage(f"The {format_name.upper()} file is damaged or truncated; export the film again.") from fault


# What Pillow's plugins raise on damaged files.
_DAMAGED = (OSError, ValueError, SyntaxError, EOFError, KeyError, IndexError, TypeError, OverflowError, struct.error)


def _open_picture(data: bytes, format_name: str, limits: DecodeLimits) -> OpenedFilm:
    """A film of any format but DICOM, which Pillow decodes.

    The readers are called directly: Image.open would try every format Pillow knows, among them ones we do not want exposed to
    strangers' bytes, and its own pixel limit would compete with ours.
    """
    image: Any
    scans, costly_passes, is_slow = 1, COSTLY_PIXELS, False
    match format_name:
        case "jpeg":
            structure = jpeg.check_segments(data)
            image = jpeg_file.open_file(data, structure)
            scans, costly_passes, is_slow = structure.scans, COSTLY_JPEG_PASSES, jpeg_file.is_slow(image.frame)
        case "png":
            data = png.film_only(data)
            image = png.PngFile(io.BytesIO(data))
        case "tiff":
            image = tiff.open_file(data, limits.max_pixels)
            is_slow = bool(image.copies) or tiff.is_of_jpeg(image)  # which are decoded as well, or once more
        case "bmp":
            image = bmp.open_file(data)
            is_slow = bmp.is_run_length_coded(image)
        case "webp":
            image = WebPImagePlugin.WebPImageFile(io.BytesIO(data))
            if image.is_animated:
                raise UnsupportedImage("The WEBP file holds more than one frame or page; send one film per file.")
    width_px, height_px = image.size
    _check_size(width_px, height_px, limits)
    passes = width_px * height_px * scans
    if format_name == "jpeg":
        jpeg.check_passes(width_px * height_px, scans)
    return OpenedFilm(is_slow or passes > costly_passes, lambda side_px: _decode_picture(image, data, format_name, side_px))


def _check_size(width_px: int, height_px: int, limits: DecodeLimits) -> None:
    shortest, longest = sorted((width_px, height_px))
    if width_px * height_px > limits.max_pixels:
        raise ImageTooLarge(
            f"The image has {width_px} x {height_px} pixels, over the limit of {limits.max_pixels}; send a smaller copy."
        )
    if shortest < limits.min_side_px:
        raise ImageTooSmall(
            f"The image is {width_px} x {height_px} px; its shorter side must have at least {limits.min_side_px} px."
        )
    if longest > limits.max_aspect_ratio * shortest:
        raise AspectRatioTooExtreme(
            f"The image is {width_px} x {height_px} px, an aspect ratio of {longest / shortest:.2f}:1; "
            f"crop it to the chest, at most {limits.max_aspect_ratio:g}:1."
        )


def _to_grey(image: Any, data: bytes, format_name: str) -> GreyPixels:
    if format_name == "png" and png.has_deep_colour(data):
        width_px, height_px = image.size
        image.close()  # frees its pixels before the deeper ones are decoded
        return grey.scale_to_8_bit(png.decode_deep_colour(data, width_px, height_px))
    return tiff.to_grey(image) if format_name == "tiff" else grey.from_image(image)


def _orientation(image: Any) -> int:
    """EXIF orientation, 1 without one. Pillow takes apart all that the tag claims to hold."""
    exif_bytes = max(len(image.info.get(name) or b"") for name in ("exif", "Raw profile type exif"))
    if exif_bytes > MAX_EXIF_BYTES:
        raise UnsupportedImage(f"The image holds {exif_bytes} bytes of EXIF data; save it without metadata.")
    try:
        return cast(int, image.getexif().get(_ORIENTATION, 1))
    except _DAMAGED as fault:  # upright or not is not for us to guess
        raise UnreadableImage("The image's EXIF data are damaged; save it without metadata, upright.") from fault
