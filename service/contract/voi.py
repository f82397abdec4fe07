"""The VOI LUT module of a DICOM image: which values a display spreads from black to white.

Source: DICOM PS3.3 C.11.2.
"""

from dataclasses import dataclass
from math import isfinite
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from service.contract.errors import UnsupportedDicom

Values = npt.NDArray[np.float64]

_FUNCTIONS = ("LINEAR", "LINEAR_EXACT", "SIGMOID")


@dataclass(frozen=True)
class Window:
    """center, width: in units of the modality LUT's output. function: one of C.11.2.1.2 and C.11.2.1.3."""

    center: float
    width: float
    function: str

    def __call__(self, values: Values) -> Values:
        """Values of any shape -> 0 (the output range's minimum) to 1 (its maximum), same shape."""
        if self.function == "SIGMOID":
            # 1 / (1 + exp(-4 (x - c) / w)), without its overflow
            return 0.5 + 0.5 * np.tanh(2.0 * (values - self.center) / self.width)
        center, width = self.center, self.width
        if self.function == "LINEAR":
            center, width = center - 0.5, width - 1.0
        if width == 0:
            return (values > center).astype(np.float64)
        return np.clip((values - center) / width + 0.5, 0.0, 1.0)


@dataclass(frozen=True)
class LookupTable:
    """first: the value that the first entry is for. entries: [N], 0 to 1 (C.11.2.1.1)."""

    first: int
    entries: Values

    def __call__(self, values: Values) -> Values:
        """Values of any shape -> 0 to 1, same shape; beyond an end of the table, the entry at that end."""
        places = np.clip(np.rint(values) - self.first, 0, len(self.entries) - 1).astype(np.intp)
        return np.asarray(self.entries[places])


def read_voi(dataset: Dataset) -> Window | LookupTable | None:
    """The first VOI LUT, else the first window, else None. Raises UnsupportedDicom.

    pydicom's `apply_voi_lut` is not used: it does not say what its output range is, turns an image with a negative rescale
    slope into its negative, and wraps values above 255 in a table of 8-bit entries.
    """
    if tables := dataset.get("VOILUTSequence"):
        return _read_table(tables[0], dataset.file_meta.TransferSyntaxUID.is_little_endian)
    center, width = _first(dataset.get("WindowCenter")), _first(dataset.get("WindowWidth"))
    if center is None or width is None:
        return None
    function = str(dataset.get("VOILUTFunction") or "LINEAR").upper()
    if function not in _FUNCTIONS:
        raise UnsupportedDicom(f"The DICOM VOI LUT function {function[:16]!r} is not one of {', '.join(_FUNCTIONS)}.")
    if not isfinite(center) or not isfinite(width) or width <= 0 or (function == "LINEAR" and width < 1):
        raise UnsupportedDicom(f"The DICOM window {center:g}/{width:g} is not valid; send a centre and a width of at least 1.")
    return Window(center, width, function)


def _read_table(item: Dataset, little_endian: bool) -> LookupTable:
    count, first, bits = (int(number) for number in item.LUTDescriptor)
    count = count or 1 << 16
    if not 1 <= bits <= 16:
        raise UnsupportedDicom(f"The DICOM VOI LUT has entries of {bits} bits; send one of 8 to 16 bits.")
    data: Any = item.LUTData
    if isinstance(data, bytes):
        if len(data) >= 2 * count:
            data = np.frombuffer(data, dtype="<u2" if little_endian else ">u2", count=count)
        else:
            data = np.frombuffer(data, dtype=np.uint8, count=count)
    entries = np.atleast_1d(np.asarray(data, dtype=np.float64))
    if len(entries) < count:
        raise UnsupportedDicom(f"The DICOM VOI LUT has {len(entries)} entries instead of {count}; export the film again.")
    return LookupTable(first, np.minimum(entries[:count] / ((1 << bits) - 1), 1.0))


def _first(value: Any) -> float | None:
    """The first of one or several numbers; None if there is none."""
    if value is None or value == "":
        return None
    try:
        return float(value)
    except TypeError:
        return float(value[0]) if len(value) else None
