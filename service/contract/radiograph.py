"""Bytes -> Radiograph: one decoder for training, export and serving.

Knows file formats, limits and polarity; knows nothing of models or HTTP.
"""

import io
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, cast

from PIL import BmpImagePlugin, JpegImagePlugin, PngImagePlugin, TiffImagePlugin, WebPImagePlugin

from service.contract import colour, dicom, dicom_file, grey, jpeg, png, tiff
from service.contract.errors import (
    AspectRatioTooExtreme,
    ImageTooLarge,
    ImageTooSmall,
    UnreadableImage,
    UnsupportedDicom,
    UnsupportedFormat,
    UnsupportedImage,
)

GreyPixels = grey.GreyPixels

Orientation = Literal["stated", "assumed"]

READABLE_FORMATS = "JPEG, PNG, TIFF, BMP, WebP or DICOM"

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
    says_otherwise: whether the file itself says that it is no frontal chest film; see `dicom_object.says_otherwise`.
    orientation: "stated" if the header says how the film lies, and it was turned so that the patient's right is on the left;
        "assumed" if that is only how films usually lie. See `dicom_orientation.exif_orientation`.
    lay_on_its_side: whether a DICOM header had it turned by a quarter; see `service.upright`.
    display_fault: why its grey values are not shown as the file asks, "" if they are; see `display.Display`.
    """

    pixels: GreyPixels
    format: str
    width_px: int
    height_px: int
    mean_chroma: float = 0.0
    says_otherwise: bool = False
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
    format_name = sniff_format(data)
    if format_name == "dicom":
        if dicom_file.is_deflated(data):  # its header can only be read once it is inflated
            return OpenedFilm(True, lambda _: _decode_dicom(_open_dicom(data, limits)))
        header = _open_dicom(data, limits)
        is_costly = header.is_compressed or header.width_px * header.height_px > COSTLY_PIXELS
        return OpenedFilm(is_costly, lambda _: _decode_dicom(header))
    with _damage_reported(format_name):
        image, is_costly = _open(data, format_name, limits)
        return OpenedFilm(is_costly, lambda side_px: _decode_picture(image, data, format_name, side_px))


def _open_dicom(data: bytes, limits: DecodeLimits) -> dicom.DicomHeader:
    header = dicom.read_header(data, limits.max_pixels)
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
        says_otherwise=header.says_otherwise,
        orientation="assumed" if header.exif_orientation is None else "stated",
        lay_on_its_side=header.exif_orientation in _ON_ITS_SIDE,
        display_fault=shown.fault,
    )


def _decode_picture(image: Any, data: bytes, format_name: str, decode_side_px: int | None) -> Radiograph:
    with _damage_reported(format_name):
        width_px, height_px = image.size
        if format_name == "jpeg" and decode_side_px is not None:
            # The luminance is what a grey decoding gives, to the bit; the colours cost some tenths of a millisecond.
            image.draft("RGB" if jpeg.is_stored_as_rgb(image) else "YCbCr", (decode_side_px, decode_side_px))
        image.load()
        # Not before: PNG's EXIF is read by decoding all of it. TIFF is upright by now, and no longer says otherwise.
        orientation = _orientation(image)
        chroma = colour.mean_chroma(image)  # now, because a film of deep colour is decoded again without its colours
        stored = _to_grey(image, data, format_name)
        return Radiograph._of(stored, format_name, width_px, height_px, orientation, mean_chroma=chroma)


@contextmanager
def _damage_reported(format_name: str) -> Iterator[None]:
    try:
        yield
    except _DAMAGED as fault:
        raise UnreadableImage(
            f"The {format_name.upper()} file is damaged or truncated ({_short(fault)}); export the film again."
        ) from fault


# What Pillow's plugins raise on damaged files.
_DAMAGED = (OSError, ValueError, SyntaxError, EOFError, KeyError, IndexError, TypeError, OverflowError, struct.error)

# The plugin classes are called directly: Image.open would try every format Pillow knows, among them ones we do not want
# exposed to strangers' bytes, and its own pixel limit would compete with ours.
_PLUGINS: dict[str, Any] = {
    "jpeg": JpegImagePlugin.JpegImageFile,
    "png": PngImagePlugin.PngImageFile,
    "tiff": TiffImagePlugin.TiffImageFile,
    "bmp": BmpImagePlugin.BmpImageFile,
    "webp": WebPImagePlugin.WebPImageFile,
}


def sniff_format(data: bytes) -> str:
    """Name the format by its magic bytes. Raises UnsupportedFormat, or UnsupportedDicom for a DICOM data set without them."""
    if data[:3] == b"\xff\xd8\xff":
        return "jpeg"
    if data[:8] == b"\x89PNG\r\n\x1a\n":
        return "png"
    if data[128:132] == b"DICM":  # DICOM PS3.10, 7.1
        return "dicom"
    if data[:4] in (b"II*\x00", b"MM\x00*"):
        return "tiff"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "webp"
    if data[:2] == b"BM":
        return "bmp"
    if not data:
        raise UnsupportedFormat(f"The image is empty (0 bytes); send a {READABLE_FORMATS} file.")
    if dicom_file.is_bare_data_set(data):
        raise UnsupportedDicom(
            "The file is a DICOM data set without the preamble and file meta information of DICOM Part 10; send the film as a "
            "DICOM Part 10 file, as a viewer or a PACS exports it."
        )
    raise UnsupportedFormat(
        f"The first bytes ({data[:4].hex(' ')}) are not those of a format we read; send a {READABLE_FORMATS} file."
    )


def _open(data: bytes, format_name: str, limits: DecodeLimits) -> tuple[Any, bool]:
    """A Pillow image that has been judged and not yet decoded, and whether decoding it is costly."""
    scans = 1
    if format_name == "jpeg":
        scans = jpeg.check_segments(data)
    elif format_name == "png":
        png.check_chunks(data)
    elif format_name == "tiff":
        tiff.check_directory(data)
    image = _PLUGINS[format_name](io.BytesIO(data))
    width_px, height_px = image.size
    _check_size(width_px, height_px, limits)
    if format_name == "jpeg":
        jpeg.check_passes(width_px * height_px, scans)
    # Not n_frames: counting a TIFF's pages reads them all.
    if getattr(image, "is_animated", False):
        raise UnsupportedImage(f"The {format_name.upper()} file holds more than one frame or page; send one film per file.")
    if format_name == "tiff":
        tiff.check_layout(image, limits.max_pixels)
        tiff.skip_subdirectories(image)
    passes = width_px * height_px * scans
    return image, passes > (COSTLY_JPEG_PASSES if format_name == "jpeg" else COSTLY_PIXELS)


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
    pixels = grey.from_image(image)
    if format_name == "tiff" and grey.is_deep(image) and tiff.is_negative(image):
        return 255 - pixels
    return pixels


def _orientation(image: Any) -> int:
    """EXIF orientation, 1 without one. Pillow takes apart all that the tag claims to hold."""
    exif_bytes = max(len(image.info.get(name) or b"") for name in ("exif", "Raw profile type exif"))
    if exif_bytes > MAX_EXIF_BYTES:
        raise UnsupportedImage(f"The image holds {exif_bytes} bytes of EXIF data; save it without metadata.")
    return cast(int, image.getexif().get(_ORIENTATION, 1))


def _short(fault: BaseException) -> str:
    return (str(fault) or type(fault).__name__)[:120]
