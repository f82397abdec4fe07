"""The modality LUT of a DICOM image: stored values -> the input of windows and VOI LUTs.

Source: DICOM PS3.3 C.11.1.
"""

from dataclasses import dataclass
from math import isfinite

from pydicom.dataset import Dataset

from service.film.dicom.lookup_table import LookupTable, Values, read_table
from service.film.dicom.samples import SampleLayout
from service.film.dicom.values import decimal, text
from service.film.errors import UnreadableImage


@dataclass(frozen=True)
class Rescale:
    """Rescale Slope and Intercept (C.11.1.1.2)."""

    slope: float = 1.0
    intercept: float = 0.0

    def __call__(self, values: Values) -> Values:
        """Stored values of any shape -> rescaled ones, same shape."""
        return values * self.slope + self.intercept


@dataclass(frozen=True)
class Modality:
    """A modality LUT or rescaling.

    transform: stored values -> output.
    lowest, highest: range of the output over all values that can be stored.
    fault: why the film is not transformed as its header says, "" if it is.
    """

    transform: Rescale | LookupTable
    lowest: float
    highest: float
    fault: str = ""


def read_modality(dataset: Dataset, layout: SampleLayout) -> Modality:
    """The modality LUT, else the rescaling, with a slope of 1 and an intercept of 0 where they are missing.

    With a slope of 0 the film is shown as stored, with a fault. Raises UnreadableImage for text in place of numbers and for
    numbers that are too large, UnsupportedDicom for a table that lacks entries.
    """
    if table := read_table(dataset, "ModalityLUTSequence", layout.lowest, layout.highest):
        return Modality(table, float(table.entries.min()), float(table.entries.max()))
    slope, intercept = decimal(text(dataset, "RescaleSlope") or "1"), decimal(text(dataset, "RescaleIntercept") or "0")
    if slope == 0:
        return Modality(Rescale(), layout.lowest, layout.highest, "its rescale slope is 0")
    lowest, highest = sorted(slope * end + intercept for end in (layout.lowest, layout.highest))
    if not isfinite(highest - lowest):
        raise UnreadableImage("The DICOM file's rescale slope or intercept is no finite number; export the film again.")
    return Modality(Rescale(slope, intercept), lowest, highest)
