"""What a format's `open` returns: a file with its header read and its pixels not yet decoded."""

from collections.abc import Callable
from dataclasses import dataclass

from service.film.arrays import GreyPixels

# Decoding more pixels takes longer than some tenths of a second.
COSTLY_PIXELS = 20_000_000


@dataclass(frozen=True)
class DecodedFile:
    """A film as it lies in its file.

    width_px, height_px: size as stored.
    mean_chroma, denies_frontal_chest, display_fault: see `film.Radiograph`.
    """

    pixels: GreyPixels  # uint8 [H, W], MONOCHROME2 polarity; smaller than width_px x height_px if it was reduced while decoding
    width_px: int
    height_px: int
    exif_orientation: int  # how to turn it upright, 1 to 8 (EXIF 2.3, tag 0x0112)
    is_orientation_stated: bool = False  # whether a DICOM header says how the film lies
    mean_chroma: float = 0.0
    denies_frontal_chest: bool = False
    display_fault: str = ""


@dataclass(frozen=True)
class OpenedFile:
    """A file within the limits, its pixels not yet decoded."""

    # Whether decoding takes long, or runs codecs that a server keeps out of its own process; see `service.sandbox`
    is_costly: bool
    # Side in pixels -> DecodedFile. A JPEG is reduced while both sides stay at least that long; None decodes it whole.
    decode: Callable[[int | None], DecodedFile]
