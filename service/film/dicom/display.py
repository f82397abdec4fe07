"""Stored DICOM values -> 8-bit grey values as a display shows them, without a copy of the film in a wider type.

Sources: DICOM PS3.3 C.11.1 (modality LUT), C.11.2 (VOI LUT).
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite

import cv2
import numpy as np
from pydicom.dataset import Dataset

from service.film.arrays import GreyPixels, Mask, Samples, Values, Words
from service.film.dicom.lookup_table import read_table
from service.film.dicom.samples import SampleLayout
from service.film.dicom.values import decimal, integer, text
from service.film.dicom.voi import Voi, read_voi
from service.film.errors import UnreadableImage
from service.film.grey import look_up, row_bands


@dataclass(frozen=True)
class Modality:
    """A modality LUT or rescaling.

    lowest, highest: range of the output over all values that can be stored.
    """

    transform: Callable[[Values], Values]  # stored values -> output
    lowest: float
    highest: float
    fault: str = ""  # why the film is not transformed as its header says, "" if it is


@dataclass(frozen=True)
class Display:
    """How stored values are shown."""

    modality: Modality  # stored values -> the input of `voi`
    voi: Voi | None  # its output range is spread from black to white; None spreads the range of the values present
    # First and last stored value of padding, which is no picture and does not count for the range present
    padding: tuple[int, int] | None = None
    background: int = 0  # grey value that shows padding
    fault: str = ""  # why the film is not shown as its header says, "" if it is

    @classmethod
    def from_header(cls, dataset: Dataset, layout: SampleLayout, background: int) -> "Display":
        """Read modality LUT, VOI LUT and padding. Raises UnsupportedDicom or UnreadableImage.

        background: grey value that shows padding.
        """
        modality = _read_modality(dataset, layout)
        voi, fault = read_voi(dataset, modality.lowest, modality.highest)
        return cls(modality, voi, _padding(dataset, layout), background, modality.fault or fault)

    def show(self, stored: Samples) -> GreyPixels:
        """Stored values, int [H, W] -> uint8 [H, W], writeable."""
        return self._by_table(stored) if stored.dtype.itemsize <= 2 else self._by_band(stored)

    def _by_table(self, stored: Samples) -> GreyPixels:
        """Samples of one or two bytes: each value that occurs is computed once."""
        native = stored.astype(stored.dtype.newbyteorder("="), copy=False)
        words: Words = native.view(np.uint8 if native.itemsize == 1 else np.uint16)
        every_word = np.arange(1 << 8 * words.itemsize, dtype=words.dtype)
        occurs = cv2.calcHist([words], [0], None, [len(every_word)], [0, len(every_word)]).ravel() > 0
        values = every_word.view(native.dtype)
        occurs &= self._is_picture(values)
        table = np.full(len(every_word), self.background, dtype=np.uint8)
        if occurs.any():
            shown = self._shown(values[occurs])
            table[occurs] = _to_8_bit(shown, *self._range(shown.min(), shown.max()))
        return look_up(table, words)

    def _by_band(self, stored: Samples) -> GreyPixels:
        """Samples of four bytes: a few rows at a time, to save memory."""
        pixels = np.full(stored.shape, self.background, dtype=np.uint8)
        bands = [(rows, self._is_picture(stored[rows])) for rows in row_bands(*stored.shape)]
        bands = [(rows, inside) for rows, inside in bands if inside.any()]
        if not bands:
            return pixels
        extremes = [(shown.min(), shown.max()) for shown in (self._shown(stored[rows][inside]) for rows, inside in bands)]
        darkest, brightest = self._range(min(low for low, _ in extremes), max(high for _, high in extremes))
        for rows, inside in bands:
            pixels[rows][inside] = _to_8_bit(self._shown(stored[rows][inside]), darkest, brightest)
        return pixels

    def _is_picture(self, values: Samples) -> Mask:
        if self.padding is None:
            return np.ones(values.shape, dtype=np.bool_)
        return (values < self.padding[0]) | (values > self.padding[1])

    def _shown(self, stored: Samples) -> Values:
        """0 to 1 with a VOI LUT or window, else in units of the modality LUT."""
        values = self.modality.transform(stored.astype(np.float64))
        return self.voi(values) if self.voi else values

    def _range(self, darkest: float, brightest: float) -> tuple[float, float]:
        return (0.0, 1.0) if self.voi else (darkest, brightest)


def _read_modality(dataset: Dataset, layout: SampleLayout) -> Modality:
    """The modality LUT, or else the rescale slope (1 if missing) and intercept (0 if missing).

    With a slope of 0 the film is shown as stored, with a fault. Raises UnreadableImage for text in place of numbers and for
    numbers that are too large, UnsupportedDicom for a table that lacks entries.
    """
    if table := read_table(dataset, "ModalityLUTSequence", layout.lowest, layout.highest):
        return Modality(table, float(table.entries.min()), float(table.entries.max()))
    slope, intercept = decimal(text(dataset, "RescaleSlope") or "1"), decimal(text(dataset, "RescaleIntercept") or "0")
    if slope == 0:
        return Modality(lambda values: values, layout.lowest, layout.highest, "its rescale slope is 0")
    lowest, highest = sorted(slope * end + intercept for end in (layout.lowest, layout.highest))
    if not isfinite(highest - lowest):
        raise UnreadableImage("The DICOM file's rescale slope or intercept is no finite number; export the film again.")
    return Modality(lambda values: values * slope + intercept, lowest, highest)


def _padding(dataset: Dataset, layout: SampleLayout) -> tuple[int, int] | None:
    """First and last stored value of padding; None if the header names none."""
    value, limit = integer(dataset, "PixelPaddingValue"), integer(dataset, "PixelPaddingRangeLimit")
    if value is None:
        return None
    ends = sorted(layout.padding_value(end) for end in (value, value if limit is None else limit))
    return ends[0], ends[1]


def _to_8_bit(shown: Values, darkest: float, brightest: float) -> GreyPixels:
    span = brightest - darkest
    grey = (shown - darkest) * (255.0 / span) + 0.5 if span > 0 else np.zeros_like(shown)
    return grey.astype(np.uint8)
