"""Films with their Grad-CAM maps."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from service.film.arrays import GreyPixels, Grid, Mask
from service.film.preprocessing import resize_stretched, to_model_input
from service.model.findings import FINDINGS
from service.model.grad_cam import GradCam
from training.data.folder import FilmFile
from training.data.parallel import each_of
from training.evaluation.evidence import Evidence
from training.evaluation.judging.altered import read_film


@dataclass(frozen=True)
class Explained:
    """A film and the Grad-CAM map of its predicted class."""

    film: FilmFile
    image: GreyPixels  # model input, uint8 [S, S]
    predicted: int  # predicted class, index into FINDINGS
    grid: Grid  # the map, float32 [h, w]
    lungs: Mask | None  # their outline, bool [S, S]; None without a segmenter, or if it found none

    @property
    def label(self) -> int:
        """The true class, an index into FINDINGS."""
        return FINDINGS.index(self.film.finding)

    @property
    def group(self) -> str:
        """The patient or group; a film without a known one is a group of its own."""
        return self.film.group or self.film.relative


def explain_films(evidence: Evidence, films: Sequence[FilmFile]) -> list[Explained]:
    """Predict and explain films that the bundle does not refuse, `evidence.threads` at a time; in the order of `films`."""
    predictor, grad_cam = evidence.predictor, GradCam.from_bundle(evidence.bundle)
    spec = predictor.manifest.preprocess

    def explain(film: FilmFile) -> Explained:
        radiograph = read_film(film, spec)
        image = to_model_input(radiograph, spec)
        values = predictor.predict(image[None], ("probabilities", "features"))
        predicted = int(values["probabilities"][0].argmax())
        lungs = None
        if evidence.lungs is not None:
            outline = evidence.lungs.outline(radiograph.pixels)
            lungs = resize_stretched(outline.astype(np.uint8) * 255, spec.image_size_px) > 127 if outline.any() else None
        grid = grad_cam.grid(values["features"][0], FINDINGS[predicted])
        return Explained(film, image, predicted, grid, lungs)

    return list(each_of(films, explain, threads=evidence.threads, title="Explaining films"))
