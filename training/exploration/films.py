"""Films -> measurements of each: size, grey values, edges and texture (REPORT 2.2, 3.2 and 3.3)."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from service.film.arrays import GreyPixels
from service.film.preprocessing import PreprocessSpec, decode, to_model_input
from service.model.drift_reference import film_statistics
from training.data.folder import FilmFile
from training.data.parallel import each_of

Floats = npt.NDArray[np.float64]

HISTOGRAM_BINS = 64

# Response of a 3 x 3 Sobel kernel to a ramp of one grey level a pixel.
_SOBEL_GAIN = 8.0


@dataclass(frozen=True)
class Measures:
    """Measurements of one film: the first four of the file, the others of the model input, uint8 [224, 224]."""

    format: str  # such as "png"
    width_px: int
    height_px: int
    aspect_ratio: float  # width / height
    mean_intensity: float  # grey level, 0..255
    contrast: float  # standard deviation of the grey values, in grey levels
    edge_magnitude: float  # grey levels per pixel
    laplacian_variance: float  # grey levels squared


@dataclass(frozen=True)
class MeasuredFilm:
    """A film and its measurements."""

    film: FilmFile
    measures: Measures
    histogram: Floats  # share of the pixels in each of HISTOGRAM_BINS equal bins of the grey values, [HISTOGRAM_BINS]


def measure_films(films: Sequence[FilmFile], *, threads: int) -> tuple[list[MeasuredFilm], dict[tuple[str, str], Floats]]:
    """Read and measure usable films, `threads` at a time, with a progress bar.

    Returns the films in their order, and (class, source) -> mean model input, float64 [224, 224] in 0..255. Raises InputError
    for a film that the service refuses.
    """
    measured = []
    sums: dict[tuple[str, str], tuple[int, Floats]] = {}
    # A running sum, so that the films of a large folder need not fit into memory.
    for entry, pixels in each_of(films, _measure, threads=threads, title="Measuring films"):
        measured.append(entry)
        cell = (entry.film.finding.value, entry.film.source)
        count, total = sums.get(cell, (0, np.zeros(pixels.shape)))
        sums[cell] = (count + 1, total + pixels)
    return measured, {cell: total / count for cell, (count, total) in sums.items()}


def edge_magnitude(film: GreyPixels) -> float:
    """Mean length of the gradient (3 x 3 Sobel kernels) of uint8 [H, W], in grey levels per pixel.

    The outermost pixels, which lack neighbours, are left out.
    """
    grey = film.astype(np.float64)
    across, down = (cv2.Sobel(grey, cv2.CV_64F, *order, ksize=3) / _SOBEL_GAIN for order in ((1, 0), (0, 1)))
    return float(np.hypot(across, down)[1:-1, 1:-1].mean())


def _measure(film: FilmFile) -> tuple[MeasuredFilm, GreyPixels]:
    spec = PreprocessSpec()
    radiograph = decode(film.path.read_bytes(), spec)
    pixels = to_model_input(radiograph, spec)
    statistics = film_statistics(pixels, radiograph.width_px, radiograph.height_px)
    measures = Measures(
        format=radiograph.format,
        width_px=radiograph.width_px,
        height_px=radiograph.height_px,
        aspect_ratio=statistics["aspect_ratio"],
        mean_intensity=statistics["mean"],
        contrast=statistics["contrast"],
        edge_magnitude=edge_magnitude(pixels),
        laplacian_variance=statistics["sharpness"],
    )
    histogram = np.bincount(pixels.ravel() // (256 // HISTOGRAM_BINS), minlength=HISTOGRAM_BINS) / pixels.size
    return MeasuredFilm(film, measures, histogram), pixels
