"""The augmentation ablation of REPORT Table 8, on a data folder: computes the missing cells and writes the table.

Finished cells are kept in `out`: after a kill, or with more seeds, the same job computes only what is missing.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from service.files import write_json
from training.config import AveragingConfig, ScheduleConfig, TrainConfig
from training.config_file import config_from_dict
from training.data.folder import FilmFile
from training.data.subset import films_of_every_class
from training.data.training_data import read_training_data
from training.devices import choose_device
from training.errors import ConfigError
from training.network.initialise import require_unseen_source
from training.search.ablation import BASELINE, ROWS, Cell, Protocol, describe_row, row_augment, summarise, table
from training.search.frozen_features import Features, FrozenBackbone
from training.search.head_fit import fit_head

CELLS_NAME = "cells.json"
TABLE_NAME = "ablation.md"

_LIMITS = (
    "A frozen backbone cannot learn from an augmentation, only its head can. And validation films come from the hospitals of "
    "the training films: an augmentation that helps in a new hospital may look useless or harmful here."
)


@dataclass(frozen=True)
class AblationJob:
    """What to compare, on what."""

    config: TrainConfig  # backbone, loss, optimiser and sampling; the ablation sets schedule, augmentation and seeds itself
    data: Path  # folder with train/ and val/
    out: Path  # folder of the results
    seeds: int  # per row
    films: int  # training films per seed, at most
    views: int  # augmented views of a film
    epochs: int  # of the head's training
    side_px: int  # of the model input
    rows: Sequence[str] = ()  # names of `ROWS`, to compare with the baseline; empty for all


@dataclass(frozen=True)
class _Bench:
    """What the cells of a job share: job, configuration, frozen backbone, training films, features of the validation films."""

    job: AblationJob
    config: TrainConfig
    backbone: FrozenBackbone
    films: Sequence[FilmFile]
    validation: Features


def ablate(job: AblationJob) -> str:
    """Compute what is missing and write the table; returns it, with its protocol, as Markdown.

    Raises ConfigError for impossible settings, or if job.out holds cells of another protocol; DatasetError.
    """
    config = _config_of(job)
    require_unseen_source(config)
    data = read_training_data(job.data, config.data)
    protocol = Protocol(
        architecture=config.model.architecture,
        weights=config.model.weights,
        films=job.films,
        views=job.views,
        epochs=job.epochs,
        side_px=job.side_px,
        data_fingerprint=data.data_fingerprint,
        recipe={**_recipe(config), "sources": data.sources_fingerprint},
    )
    path = job.out / CELLS_NAME
    done = _read_cells(path, protocol)
    rows = [row for row in ROWS if row == BASELINE or not job.rows or row in job.rows]
    wanted = [(row, seed) for seed in range(job.seeds) for row in rows]
    missing = [key for key in wanted if key not in done]
    if missing:
        job.out.mkdir(parents=True, exist_ok=True)
        backbone = FrozenBackbone.build(config, choose_device(config.run.device))
        bench = _Bench(job, config, backbone, data.train, backbone.of_films(data.val, label="validation films"))
        for row, seed in tqdm(missing, desc="Cells", unit="cell", dynamic_ncols=True, disable=None):
            done[row, seed] = _compute(row, seed, bench)
            _write_cells(path, protocol, list(done.values()))
    text = f"{protocol.sentences()}\n\n{table(summarise([done[key] for key in wanted]))}\n\n{_LIMITS}\n"
    (job.out / TABLE_NAME).write_text(f"# Ablation of augmentations\n\n{text}", encoding="utf-8")
    return text


def _compute(row: str, seed: int, bench: _Bench) -> Cell:
    films = films_of_every_class(bench.films, bench.job.films, seed)
    # The baseline draws nothing, so its views are all equal.
    views = 1 if row == BASELINE else bench.job.views
    augment = row_augment(row, bench.job.side_px)
    training = bench.backbone.of_training_films(films, augment, views=views, seed=seed, label=f"{row}, seed {seed}")
    seeded = replace(bench.config, run=replace(bench.config.run, seed=seed))
    *_, last = fit_head(training, films, bench.validation, seeded)
    return Cell(row, seed, round(last.accuracy, 6), round(last.auc, 6), round(last.f1, 6))


def _config_of(job: AblationJob) -> TrainConfig:
    warmup_epochs = min(1, job.epochs - 1)
    schedule = ScheduleConfig(epochs=job.epochs, warmup_epochs=warmup_epochs, cycle_epochs=job.epochs - warmup_epochs)
    changed = replace(
        job.config,
        data=replace(job.config.data, image_size_px=job.side_px, lungs=""),
        augment=row_augment(BASELINE, job.side_px),
        schedule=schedule,
        averaging=AveragingConfig(),
    )
    return config_from_dict(changed.as_dict())


def _recipe(config: TrainConfig) -> dict[str, Any]:
    """What else the cells depend on."""
    names = ("balance", "source_flattening", "held_out_source")
    balance = {name: getattr(config.data, name) for name in names}
    return {"data": balance, "model": asdict(config.model), "loss": asdict(config.loss), "optimiser": asdict(config.optimiser)}


def _read_cells(path: Path, protocol: Protocol) -> dict[tuple[str, int], Cell]:
    """Finished cells by row and seed, but for rows whose augmentation has changed since."""
    if not path.is_file():
        return {}
    document = json.loads(path.read_text("utf-8"))
    if document["protocol"] != asdict(protocol):
        differing = [name for name, value in asdict(protocol).items() if document["protocol"].get(name) != value]
        raise ConfigError(
            f"{path} holds cells of another protocol ({', '.join(differing)}); choose another --out, or the same options."
        )
    entries = [entry for entry in document["cells"] if entry["changes"] == describe_row(entry["row"])]
    return {(entry["row"], entry["seed"]): Cell(**{k: v for k, v in entry.items() if k != "changes"}) for entry in entries}


def _write_cells(path: Path, protocol: Protocol, cells: Sequence[Cell]) -> None:
    entries = [{**asdict(cell), "changes": describe_row(cell.row)} for cell in cells]
    write_json(path, {"protocol": asdict(protocol), "cells": entries})
