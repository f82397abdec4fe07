"""A lookup table of a DICOM image, for the modality LUT and the VOI LUT: LUT Descriptor and LUT Data.

Sources: DICOM PS3.3 C.11.1.1.1 (modality LUT), C.11.2.1.1 (VOI LUT).
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.values import convert_SQ

from service.film.arrays import Values, Words
from service.film.dicom.samples import sign_extended
from service.film.dicom.values import integers, raw
from service.film.errors import UnsupportedDicom

# Items of a sequence of tables (PS3.5 7.5), in either byte order. A film has a few; each takes pydicom tens of microseconds.
MAX_ITEMS = 100
_ITEM_TAGS = (b"\xfe\xff\x00\xe0", b"\xff\xfe\xe0\x00")


@dataclass(frozen=True)
class LookupTable:
    """Entries for consecutive input values."""

    first: int  # input value of the first entry
    entries: Values  # float64 [N]
    bits: int  # the third value of the descriptor

    def __call__(self, values: Values) -> Values:
        """Values of any shape -> entries, same shape. Values beyond an end of the table get the entry at that end."""
        indices = np.clip(np.rint(values) - self.first, 0, len(self.entries) - 1).astype(np.intp)
        return np.asarray(self.entries[indices])


def read_table(dataset: Dataset, sequence: str, lowest: float, highest: float) -> LookupTable | None:
    """The table of the sequence's first item that has both descriptor and data; None without one.

    lowest, highest: range of the table's input. Raises UnsupportedDicom.
    """
    for item in _items(raw(dataset, sequence)):
        descriptor, data = integers(item, "LUTDescriptor"), raw(item, "LUTData")
        if descriptor and isinstance(data, RawDataElement) and data.value:
            return _table(descriptor, data, lowest, highest)
    return None


def _items(sequence: DataElement | RawDataElement | None) -> Iterable[Dataset]:
    """The items, unparsed: pydicom would guess the VR of a table's elements. Raises UnsupportedDicom above MAX_ITEMS."""
    if isinstance(sequence, RawDataElement):
        value = sequence.value or b""
        if max(map(value.count, _ITEM_TAGS)) > MAX_ITEMS:
            raise UnsupportedDicom(
                f"The DICOM file has more than {MAX_ITEMS} lookup tables; send it with one VOI LUT or a window."
            )
        return convert_SQ(value, sequence.is_implicit_VR, sequence.is_little_endian)
    return (sequence and sequence.value) or ()


def _table(descriptor: list[int], data: RawDataElement, lowest: float, highest: float) -> LookupTable:
    if len(descriptor) != 3:
        raise UnsupportedDicom(
            f"A DICOM lookup table is described by {len(descriptor)} values instead of 3; export the film again."
        )
    count, bits = descriptor[0] & 0xFFFF or 1 << 16, descriptor[2]
    entries = _entries(data, count, may_be_bytes=bits <= 8)
    if len(entries) < count:
        raise UnsupportedDicom(f"A DICOM lookup table has {len(entries)} entries instead of {count}; export the film again.")
    return LookupTable(_first(descriptor[1] & 0xFFFF, count, lowest, highest), entries.astype(np.float64), bits)


def _first(word: int, count: int, lowest: float, highest: float) -> int:
    """The input value of the first entry. It is signed if the table's input can be negative, whatever its VR.

    If no input would then reach the table, its writer took the other sign.

    word: second value of the descriptor, unsigned.
    """
    readings = [word, sign_extended(word, 16)]
    if lowest < 0:
        readings.reverse()
    return next((first for first in readings if first <= highest and first + count > lowest), readings[0])


def _entries(data: RawDataElement, count: int, *, may_be_bytes: bool) -> Words:
    """At most `count` entries. Entries of 8 bits are stored in words or in bytes; the length tells which (C.11.1.1.1)."""
    value = data.value or b""
    if not data.is_little_endian and data.VR != "OB":
        value = np.frombuffer(value, ">u2", count=len(value) // 2).astype("<u2").tobytes()
    if may_be_bytes and len(value) == count + count % 2:
        return np.frombuffer(value, np.uint8, count=count)
    return np.frombuffer(value, "<u2", count=min(count, len(value) // 2))
