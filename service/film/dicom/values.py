"""Values of DICOM attributes, from their bytes, in any value representation (VR). An empty attribute counts as absent.

Sources: DICOM PS3.5 6.2 (value representations), 7.4.5 (a value of zero length).
"""

from math import nan

import numpy as np
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag

from service.film.errors import UnreadableImage

# NumPy's names of numbers; the caller decides on the sign of "US or SS". All other VRs are text.
_NUMBERS = {
    "US": "u2", "SS": "i2", "US or SS": "u2", "OW": "u2", "US or OW": "u2", "US or SS or OW": "u2",
    "UL": "u4", "SL": "i4", "FL": "f4", "FD": "f8",
}  # fmt: skip


def raw(dataset: Dataset, key: str | BaseTag) -> DataElement | RawDataElement | None:
    """The attribute, not parsed. Without `keep_deferred` pydicom parses an empty one, and may fail at it."""
    return dataset.get_item(key, keep_deferred=True)


def texts(dataset: Dataset, keyword: str) -> list[str]:
    """The attribute's values as text, numbers too; without padding. An empty list if it is absent or empty."""
    values = [value.strip(" \0") for value in _split(raw(dataset, keyword))]
    return values if any(values) else []


def text(dataset: Dataset, keyword: str) -> str:
    """The first of `texts`, "" if there is none."""
    return next(iter(texts(dataset, keyword)), "")


def integers(dataset: Dataset, keyword: str) -> list[int]:
    """Whole numbers; none if the attribute is absent or empty. Raises UnreadableImage if one is no whole number."""
    numbers = [decimal(value) for value in texts(dataset, keyword)]
    if not all(number.is_integer() for number in numbers):  # which infinity and NaN are not
        raise UnreadableImage(f"The DICOM file's {keyword} is no whole number; export the film again.")
    return [int(number) for number in numbers]


def integer(dataset: Dataset, keyword: str) -> int | None:
    """The first whole number; see `integers`."""
    return next(iter(integers(dataset, keyword)), None)


def decimal(value: str) -> float:
    """A decimal string as a number, NaN if it is none. A comma, which some locales write, is read as a point."""
    try:
        return float(value.replace(",", "."))
    except ValueError:
        return nan


def _split(element: DataElement | RawDataElement | None) -> list[str]:
    if element is None or element.value is None:
        return []
    if not isinstance(element, RawDataElement):  # pydicom has parsed it
        return [str(value) for value in (element.value if element.VM > 1 else [element.value])]
    # None in Implicit VR; UN for a VR that a writer did not know (PS3.5 6.2.2).
    vr = dictionary_VR(element.tag) if element.VR in (None, "UN") else element.VR
    if vr not in _NUMBERS:
        return element.value.decode("latin-1").split("\\")
    kind = np.dtype(_NUMBERS[vr]).newbyteorder("<" if element.is_little_endian else ">")
    return [str(number) for number in np.frombuffer(element.value, kind, count=len(element.value) // kind.itemsize).tolist()]
