"""The VOI LUT of a DICOM image: which values a display spreads from black to white.

Source: DICOM PS3.3 C.11.2.
"""

from dataclasses import dataclass, replace
from math import isfinite

import numpy as np
from pydicom.dataset import Dataset

from service.film.arrays import Values
from service.film.dicom.lookup_table import LookupTable, read_table
from service.film.dicom.values import decimal, text, texts

_FUNCTIONS = ("LINEAR", "LINEAR_EXACT", "SIGMOID")


@dataclass(frozen=True)
class Window:
    """A VOI window (C.11.2.1.2).

    center, width: in units of the modality LUT's output.
    """

    center: float
    width: float
    function: str  # one of _FUNCTIONS (C.11.2.1.2 and C.11.2.1.3)

    @property
    def is_valid(self) -> bool:
        """Whether its numbers are finite and allowed by the standard."""
        narrowest = 1.0 if self.function == "LINEAR" else 0.0
        return isfinite(self.center) and isfinite(self.width) and self.width > 0 and self.width >= narrowest

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


Voi = Window | LookupTable


def read_voi(dataset: Dataset, lowest: float, highest: float) -> tuple[Voi | None, str]:
    """The first VOI LUT, else the first valid window, else None; and what is wrong with the header's windows, or "".

    Both give 0 to 1 for the ends of their output range. lowest, highest: range of the modality LUT's output.
    Raises UnsupportedDicom.

    pydicom's `apply_voi_lut` is not used: it does not return its output range, inverts an image with a negative rescale slope,
    and wraps values above 255 in a table of 8-bit entries.
    """
    if table := read_table(dataset, "VOILUTSequence", lowest, highest):
        return replace(table, entries=np.minimum(table.entries / ((1 << _depth(table)) - 1), 1.0)), ""
    centers, widths = texts(dataset, "WindowCenter"), texts(dataset, "WindowWidth")
    if not centers or not widths:
        return None, ""
    function = text(dataset, "VOILUTFunction").upper() or "LINEAR"
    if function not in _FUNCTIONS:
        return None, f"its VOI LUT function is none of {', '.join(_FUNCTIONS)}"
    windows = (Window(decimal(center), decimal(width), function) for center, width in zip(centers, widths, strict=False))
    window = next((window for window in windows if window.is_valid), None)
    return window, "" if window else "it has no window of a centre and a width of at least 1"


def _depth(table: LookupTable) -> int:
    """How many bits the entries have.

    Most image objects may state only 8 or 16 (C.11.2.1.1), so that tables of 10 and 12 bits state 16. No table for a display
    leaves the upper half of its output unused: 16 is replaced by the smallest depth that holds the largest entry. Any other
    number is taken as stated, unless the entries exceed it.
    """
    needed = max(8, int(table.entries.max() - 1).bit_length())  # a table that ends at 4096 has 12 bits, and rounds up
    return table.bits if needed <= table.bits < 16 else needed
