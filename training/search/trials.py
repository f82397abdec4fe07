"""One trial of a search: a configuration in, the figures of its epochs out. Knows no Optuna.

FeatureTrials trains heads on features computed once, in seconds; ShortTrials makes short whole runs, in minutes.
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
from training.devices import Processes, choose_device
from training.run.stopping import EpochRecord
from training.run.train import train
from training.run.watcher import RunWatcher
from training.search.frozen_features import Features, FrozenBackbone
from training.search.head_fit import fit_head
from training.search.space import shortened


@dataclass(frozen=True)
class TrialFigures:
    """Validation figures after one epoch, 0..1. auc and f1 are macro."""

    accuracy: float
    auc: float
    f1: float


# Called after each epoch with its number, from 1; what it raises ends the trial.
Report = Callable[[int, TrialFigures], None]


@dataclass(frozen=True)
class TrialFilms:
    """training: the films of every trial; all_training: how many films a whole run would have."""

    training: Sequence[FilmFile]
    validation: Sequence[FilmFile]
    all_training: int
    data_fingerprint: str


class FeatureTrials:
    """Heads on frozen features. Views of the films are kept in `folder`, one file for each way of augmenting them."""

    def __init__(self, films: TrialFilms, folder: Path, *, epochs: int, views: int, side_px: int) -> None:
        self._films, self._folder = films, folder
        self._epochs, self._views, self._side_px = epochs, views, side_px

    def run(self, config: TrainConfig, report: Report) -> None:
        """One trial. Raises TrainingDiverged, or what `report` raises."""
        short = shortened(
            config,
            epochs=self._epochs,
            films=len(self._films.training),
            all_films=self._films.all_training,
            side_px=self._side_px,
        )
        validation = self._kept(short, None)
        training = self._kept(short, short.augment)
        for epoch, figures in enumerate(fit_head(training, self._films.training, validation, short), start=1):
            report(epoch, TrialFigures(figures.accuracy, figures.auc, figures.f1))

    def _kept(self, config: TrainConfig, augment: AugmentConfig | None) -> Features:
        """Features of the training films under `augment`, or of the validation films for None; computed at the first call."""
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
    """Short runs of training.run.train, on a folder that links the films of the trials."""

    def __init__(self, films: TrialFilms, folder: Path, *, epochs: int, side_px: int) -> None:
        self._films, self._folder = films, folder
        self._epochs, self._side_px = epochs, side_px

    def run(self, config: TrainConfig, report: Report) -> None:
        """One trial; what it writes is deleted with it. Raises TrainingDiverged, or what `report` raises."""
        short = shortened(
            config,
            epochs=self._epochs,
            films=len(self._films.training),
            all_films=self._films.all_training,
            side_px=self._side_px,
        )
        with tempfile.TemporaryDirectory(dir=self._folder, prefix="trial-") as place:
            data, out = Path(place) / "films", Path(place) / "run"
            link_films([*self._films.training, *self._films.validation], data)
            # What a run prints would bury what the search says.
            with contextlib.redirect_stdout(io.StringIO()):
                train(
                    short,
                    data,
                    out,
                    choose_device(short.run.device),
                    Processes(),
                    version="0.0.0",
                    resume=False,
                    watcher=_Reporter(report),
                )


class _Reporter(RunWatcher):
    def __init__(self, report: Report) -> None:
        self._report = report

    def epoch_done(self, record: EpochRecord) -> None:
        self._report(record.epoch, TrialFigures(record.val_accuracy, record.val_auc, record.val_f1))


def link_films(films: Sequence[FilmFile], root: Path) -> None:
    """Make `root` a data folder of these films, by symbolic links, with a manifest of what is known of them."""
    rows = []
    for film in films:
        place = root / film.relative
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(film.path.resolve())
        rows.append([film.relative, film.split, film.finding.value, film.source, film.group or ""])
    with (root / MANIFEST_NAME).open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(MANIFEST_COLUMNS)
        writer.writerows(rows)
