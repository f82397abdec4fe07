"""How a DICOM film lies, according to its header.

Source: DICOM PS3.3 C.7.6.1.1.1 (Patient Orientation), C.8.11.4 (field of view of a digital detector).
"""

import re
from collections.abc import Mapping
from math import isfinite

from pydicom.dataset import Dataset

from service.film.dicom.values import decimal, decoded_text, text

ORIENTATION_KEYWORDS = ("AnatomicalOrientationType", "PatientOrientation", "FieldOfViewRotation", "FieldOfViewHorizontalFlip")

# In an upright film the rows run to the patient's left (L) and the columns to the feet (F). EXIF 2.3 numbers the eight ways to
# turn a picture upright.
_EXIF_ORIENTATION: Mapping[tuple[str, ...], int] = {
    ("L", "F"): 1,
    ("R", "F"): 2,
    ("R", "H"): 3,
    ("L", "H"): 4,
    ("F", "L"): 5,
    ("F", "R"): 6,
    ("H", "R"): 7,
    ("H", "L"): 8,
}

_AXIS_OF = {"L": 0, "R": 0, "H": 1, "F": 1, "A": 2, "P": 2}
_OUT_OF_PLANE = ("A", "P")


def exif_orientation(dataset: Dataset) -> int | None:
    """How to turn the stored film upright, as an EXIF orientation; None if the header does not say how a frontal film lies."""
    return None if is_quadruped(dataset) else _EXIF_ORIENTATION.get(_directions(dataset))


def is_quadruped(dataset: Dataset) -> bool:
    """Whether the patient is an animal, whose directions have other letters: R is rostral, L lateral."""
    return text(dataset, "AnatomicalOrientationType").upper() == "QUADRUPED"


def is_out_of_plane(dataset: Dataset) -> bool:
    """Whether rows or columns run to the front or the back, as in a lateral or an axial picture."""
    return any(direction in _OUT_OF_PLANE for direction in _directions(dataset))


def is_turned_unknown_way(dataset: Dataset) -> bool:
    """Whether the film was turned or mirrored against the detector, and the header does not say how it lies now.

    Patient Orientation describes the stored pixels, after the turn.
    """
    if exif_orientation(dataset) is not None:
        return False
    is_flipped = text(dataset, "FieldOfViewHorizontalFlip").upper() in ("YES", "Y")
    degrees = decimal(decoded_text(dataset, "FieldOfViewRotation"))
    return is_flipped or (isfinite(degrees) and degrees % 360 != 0)


def _directions(dataset: Dataset) -> tuple[str, ...]:
    """The main directions of rows and columns, each a letter or ""; empty unless there are two values."""
    values = decoded_text(dataset, "PatientOrientation").split("\\")
    return tuple(_main_direction(value) for value in values) if len(values) == 2 else ()


def _main_direction(value: str) -> str:
    """The first letter; those after it are refinements along the other axes."""
    letters = re.sub(r"[\s\0]", "", value).upper()
    axes = [_AXIS_OF.get(letter) for letter in letters]
    return letters[:1] if None not in axes and len(set(axes)) == len(axes) else ""
