"""The films that a checkpoint was trained on: decoded by the service's own code, and run through a bundle's graph."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from service.film.arrays import GreyPixels
from service.film.preprocessing import PreprocessSpec, decode, to_model_input
from service.model.drift_reference import film_statistics
from service.model.findings import FINDINGS
from service.model.predictor import Outputs, Predictor
from training.config import DataConfig
from training.data.folder import FilmFile
from training.data.training_data import TrainingData, read_training_data
from training.errors import DatasetError

# Large enough to keep a session busy, small enough for the feature maps of any architecture to fit in memory.
BATCH_SIZE = 16


@dataclass(frozen=True)
class Films:
    """Decoded films."""

    images: GreyPixels  # uint8 [N, S, S]
    labels: npt.NDArray[np.int64]  # int64 [N], index into `FINDINGS`
    sizes_px: npt.NDArray[np.int64]  # int64 [N, 2], width and height as stored
    mean_chroma: npt.NDArray[np.float64]  # float64 [N], see `Radiograph`

    def statistics(self) -> list[dict[str, float]]:
        """What `film_statistics` measures of each film."""
        return [
            film_statistics(image, int(width_px), int(height_px))
            for image, (width_px, height_px) in zip(self.images, self.sizes_px, strict=True)
        ]


def usable_films(data: Path, config: DataConfig, data_fingerprint: str, sources_fingerprint: str | None = None) -> TrainingData:
    """The films of `data` that training used, by training's own validation, which reads every file once.

    config, data_fingerprint, sources_fingerprint: of the run whose films these must be.
    Raises DatasetNotFound or DatasetError for a folder that is no data set, is not that run's, or must not be trained on.
    """
    films = read_training_data(data, config)
    if films.data_fingerprint != data_fingerprint:
        raise DatasetError(
            f"{data} has the fingerprint {films.data_fingerprint[:12]}, but the checkpoint was trained on a folder with "
            f"{data_fingerprint[:12]}; give that folder, with every file as it was, or train again on this one."
        )
    if sources_fingerprint and films.sources_fingerprint != sources_fingerprint:
        raise DatasetError(
            f"The sources or groups of {data}/manifest.csv are not those that the checkpoint was trained with; restore that "
            "file, or train again."
        )
    return films


def read_films(files: Sequence[FilmFile], spec: PreprocessSpec, limit: int | None = None) -> Films:
    """Decode all films (at least one), or of more than `limit` a random sample of `limit`, the same at each call.

    Raises InputError for a film that validation would have excluded.
    """
    if limit is not None and len(files) > limit:
        chosen = np.random.default_rng(0).choice(len(files), size=limit, replace=False)
        files = [files[index] for index in sorted(chosen)]
    images, sizes_px, mean_chroma = [], [], []
    for file in tqdm(files, desc=f"reading {files[0].split} films", unit="film"):
        radiograph = decode(file.path.read_bytes(), spec)
        images.append(to_model_input(radiograph, spec))
        sizes_px.append((radiograph.width_px, radiograph.height_px))
        mean_chroma.append(radiograph.mean_chroma)
    labels = [FINDINGS.index(file.finding) for file in files]
    return Films(np.stack(images), np.array(labels, np.int64), np.array(sizes_px, np.int64), np.array(mean_chroma))


def compute(predictor: Predictor, images: GreyPixels, *names: str) -> Outputs:
    """The named outputs of the graph, each float32 [N, ...]; see `Predictor.predict`. images: uint8 [N, S, S], N >= 1."""
    batches = tqdm(range(0, len(images), BATCH_SIZE), desc=f"computing {', '.join(names)}", unit="batch")
    runs = [predictor.predict(images[start : start + BATCH_SIZE], names) for start in batches]
    return {name: np.concatenate([run[name] for run in runs]) for name in names}
