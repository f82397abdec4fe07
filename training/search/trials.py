"""One trial of a search: a configuration in, the metrics of its epochs out. Knows no Optuna.

FeatureTrials trains heads on features that are computed once, in seconds. ShortTrials makes short whole runs, in minutes.
"""

import contextlib
import csv
import hashlib
import io
import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from training.config import AugmentConfig, TrainConfig
from training.data.folder import MANIFEST_COLUMNS, MANIFEST_NAME, FilmFile
from training.devices import Compute, choose_device
from training.run.history import EpochRecord
from training.run.job import RunWatcher, TrainingJob
from training.run.loop import EpochMetrics
from training.run.train import fit
from training.search.frozen_features import Features, FrozenBackbone
from training.search.head_fit import fit_head
from training.search.space import shortened

# Called after each epoch with its number, from 1, and its validation metrics; what it raises ends the trial.
Report = Callable[[int, EpochMetrics], None]


@dataclass(frozen=True)
class TrialFilms:
    """The films of all trials."""

    training: Sequence[FilmFile]  # films to train on
    validation: Sequence[FilmFile]  # films to judge with
    all_training: int  # number of training films of a whole run
    data_fingerprint: str  # of the data folder

    def shorten(self, config: TrainConfig, *, epochs: int, side_px: int) -> TrainConfig:
        """The configuration of a trial on these films in place of a whole run."""
        films = len(self.training)
        return shortened(config, epochs=epochs, films=films, all_films=self.all_training, side_px=side_px)


class FeatureTrials:
    """Heads on frozen features. The features are kept in `folder`, one file for each strength of augmentation."""

    def __init__(self, films: TrialFilms, folder: Path, *, epochs: int, views: int, side_px: int) -> None:
        self._films, self._folder = films, folder
        self._epochs, self._views, self._side_px = epochs, views, side_px

    def run(self, config: TrainConfig, report: Report) -> None:
        """One trial. Raises TrainingDiverged, or what `report` raises."""
        short = self._films.shorten(config, epochs=self._epochs, side_px=self._side_px)
        validation = self._kept(short, None)
        training = self._kept(short, short.augment)
        for epoch, metrics in enumerate(fit_head(training, self._films.training, validation, short), start=1):
            report(epoch, metrics)

    def _kept(self, config: TrainConfig, augment: AugmentConfig | None) -> Features:
        """Features of the training films under `augment`, or of the validation films for None; computed once."""
        films = self._films.validation if augment is None else self._films.training
        key = {
            "films": [film.relative for film in films],
            "data": self._films.data_fingerprint,
            "augment": None if augment is None else asdict(augment),
            "model": [config.model.architecture, config.model.weights, config.model.weights_file],
            "side_px": self._side_px,
            "views": self._views,
            "seed": config.run.seed,
            "lungs": config.data.lungs,
        }
        digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]
        path = self._folder / f"features-{digest}.pt"
        if path.is_file():
            return Features.load(path)
        backbone = FrozenBackbone.build(config, choose_device(config.run.device))
        if augment is None:
            features = backbone.of_films(films, label="validation films")
        else:
            features = backbone.of_training_films(
                films, augment, views=self._views, seed=config.run.seed, label="training films"
            )
        features.save(path)
        return features


class ShortTrials:
    """Short training runs, on a folder that links the films of the trials."""

    def __init__(self, films: TrialFilms, folder: Path, *, epochs: int, side_px: int) -> None:
        self._films, self._folder = films, folder
        self._epochs, self._side_px = epochs, side_px

    def run(self, config: TrainConfig, report: Report) -> None:
        """One trial, whose files are deleted. Raises TrainingDiverged, or what `report` raises."""
        short = self._films.shorten(config, epochs=self._epochs, side_px=self._side_px)
        with tempfile.TemporaryDirectory(dir=self._folder, prefix="trial-") as folder:
            data, out = Path(folder) / "films", Path(folder) / "run"
            link_films([*self._films.training, *self._films.validation], data)
            compute = Compute.of(short.run, choose_device(short.run.device))
            # What a run prints would bury what the search prints.
            with contextlib.redirect_stdout(io.StringIO()):
                fit(TrainingJob(short, data, out), compute, _Reporter(report))


class _Reporter(RunWatcher):
    def __init__(self, report: Report) -> None:
        self._report = report

    def epoch_done(self, record: EpochRecord) -> None:
        metrics = EpochMetrics(record.val_loss, record.val_f1, record.val_accuracy, record.val_auc)
        self._report(record.epoch, metrics)


def link_films(films: Sequence[FilmFile], root: Path) -> None:
    """Make `root` a data folder that links these films, with a manifest.csv of their sources and groups."""
    rows = []
    for film in films:
        link = root / film.relative
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(film.path.resolve())
        rows.append([film.relative, film.split, film.finding.value, film.source, film.group or ""])
    with (root / MANIFEST_NAME).open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(MANIFEST_COLUMNS)
        writer.writerows(rows)
