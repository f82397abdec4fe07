"""Stored DICOM values -> 8-bit grey values as a display shows them, without widening the film.

Sources: DICOM PS3.3 C.11.1 (modality LUT), C.11.2 (VOI LUT).
"""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_modality_lut

from service.contract.grey import GreyPixels, look_up, row_bands
from service.contract.voi import LookupTable, Window

Samples = npt.NDArray[np.integer[Any]]


@dataclass(frozen=True)
class Display:
    """dataset: holds the modality LUT. voi: spreads its own output range from black to white; None: the range present is.

    padding: stored values, from the first to the last, that are outside the picture; they are shown as `background`, and do
    not count for the range present.
    """

    dataset: Dataset
    voi: Window | LookupTable | None
    padding: tuple[int, int] | None = None
    background: int = 0

    def show(self, stored: Samples) -> GreyPixels:
        """Stored values, int [H, W] -> uint8 [H, W], writeable. Raises ValueError if the modality LUT gives infinite values."""
        return self._by_table(stored) if stored.dtype.itemsize <= 2 else self._by_band(stored)

    def _by_table(self, stored: Samples) -> GreyPixels:
        """Of samples of one or two bytes, only those values that occur are worked out, each once."""
        native = stored.astype(stored.dtype.newbyteorder("="), copy=False)
        words: npt.NDArray[np.uint8 | np.uint16] = native.view(np.uint8 if native.itemsize == 1 else np.uint16)
        every_word = np.arange(1 << 8 * words.itemsize, dtype=words.dtype)
        occurs = cv2.calcHist([words], [0], None, [len(every_word)], [0, len(every_word)]).ravel() > 0
        values = every_word.view(native.dtype)
        if self.padding is not None:
            occurs &= (values < self.padding[0]) | (values > self.padding[1])
        table = np.full(len(every_word), self.background, dtype=np.uint8)
        if occurs.any():
            shown = self._shown(values[occurs].astype(np.int64))
            table[occurs] = _to_8_bit(shown, *self._range(shown.min(), shown.max()))
        return look_up(table, words)

    def _by_band(self, stored: Samples) -> GreyPixels:
        bands = list(row_bands(*stored.shape))
        extremes = [(shown.min(), shown.max()) for shown in (self._shown(stored[band]) for band in bands)]
        darkest, brightest = self._range(min(low for low, _ in extremes), max(high for _, high in extremes))
        pixels = np.empty(stored.shape, dtype=np.uint8)
        for band in bands:
            pixels[band] = _to_8_bit(self._shown(stored[band]), darkest, brightest)
        return pixels

    def _shown(self, stored: Samples) -> npt.NDArray[np.float64]:
        """0 to 1 with a VOI LUT or window, else in units of the modality LUT."""
        with np.errstate(over="ignore", invalid="ignore"):  # judged below
            values = np.asarray(apply_modality_lut(stored, self.dataset), dtype=np.float64)
        if not np.isfinite(values).all():
            raise ValueError("the rescale slope or intercept gives values that are not finite")
        return self.voi(values) if self.voi else values

    def _range(self, darkest: float, brightest: float) -> tuple[float, float]:
        return (0.0, 1.0) if self.voi else (darkest, brightest)


def _to_8_bit(shown: npt.NDArray[np.float64], darkest: float, brightest: float) -> GreyPixels:
    span = brightest - darkest
    grey = (shown - darkest) * (255.0 / span) + 0.5 if span > 0 else np.zeros_like(shown)
    return grey.astype(np.uint8)
