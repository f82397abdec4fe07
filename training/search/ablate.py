"""Runs the augmentation ablation of REPORT Table 8 on a data folder.

Finished cells are kept in `out`, so after a kill, or with more seeds, the same job computes only the missing ones.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from service.files import write_json
from training.config import AveragingConfig, TrainConfig
from training.data.subset import films_of_every_class
from training.data.training_data import TrainingData, read_training_data
from training.errors import ConfigError
from training.network.initialise import require_unseen_source
from training.search.ablation import BASELINE, ROWS, Cell, describe_row, row_augment, summarise, table
from training.search.short_run import short_run, shortened

CELLS_NAME = "cells.json"
TABLE_NAME = "ablation.md"

_LIMITS = (
    "A frozen backbone cannot learn from an augmentation; only the head can. Validation films come from the hospitals of the "
    "training films, so an augmentation that helps in a new hospital may look useless or harmful here."
)


@dataclass(frozen=True)
class AblationJob:
    """What to compare, on what."""

    base: TrainConfig  # backbone, loss, optimiser and sampling; the ablation sets schedule, augmentation and seeds
    data: Path  # folder with train/ and val/
    out: Path  # folder of the results
    seeds: int  # per row
    films: int  # training films per seed, at most
    epochs: int  # of the head's training
    side_px: int  # of the model input
    rows: Sequence[str] = ()  # names in `ROWS` to compare with the baseline; empty for all


def ablate(job: AblationJob) -> str:
    """Compute the missing cells, write the table, and return it with its protocol as Markdown.

    Raises DatasetError, or ConfigError for impossible settings or if job.out holds cells of another protocol.
    """
    require_unseen_source(job.base)
    data = read_training_data(job.data, job.base.data)
    config = _baseline_config(job, data)
    protocol = {
        **config.settings(),
        "films": job.films,
        "data": data.data_fingerprint,
        "sources": data.sources_fingerprint,
    }
    path = job.out / CELLS_NAME
    done = {(cell.row, cell.seed): cell for cell in _read_cells(path, protocol)}
    rows = [row for row in ROWS if row == BASELINE or not job.rows or row in job.rows]
    wanted = [(row, seed) for seed in range(job.seeds) for row in rows]
    missing = [key for key in wanted if key not in done]
    job.out.mkdir(parents=True, exist_ok=True)
    for row, seed in tqdm(missing, desc="Cells", unit="cell", dynamic_ncols=True, disable=None):
        done[row, seed] = _compute(row, seed, config, replace(data, train=films_of_every_class(data.train, job.films, seed)))
        write_json(path, {"protocol": protocol, "cells": [asdict(cell) for cell in done.values()]}, allow_nan=True)
    text = f"{_protocol_text(job)}\n\n{table(summarise([done[key] for key in wanted]))}\n\n{_LIMITS}\n"
    (job.out / TABLE_NAME).write_text(f"# Ablation of augmentations\n\n{text}", encoding="utf-8")
    return text


def _compute(row: str, seed: int, config: TrainConfig, data: TrainingData) -> Cell:
    augment = row_augment(row, config.data.image_size_px)
    *_, last = short_run(replace(config, augment=augment, run=replace(config.run, seed=seed)), data)
    return Cell(row, describe_row(row), seed, round(last.val_accuracy, 6), round(last.val_auc, 6))


def _baseline_config(job: AblationJob, data: TrainingData) -> TrainConfig:
    """A short run that trains only the head, with cross-entropy alone and without augmentation."""
    plain = replace(
        job.base,
        augment=row_augment(BASELINE, job.base.data.image_size_px),
        data=replace(job.base.data, lungs=""),
        loss=replace(job.base.loss, source_alignment=0.0, distillation=0.0),
        averaging=AveragingConfig(),
    )
    short = shortened(plain, epochs=job.epochs, films=job.films, all_films=len(data.train), side_px=job.side_px)
    return replace(short, schedule=replace(short.schedule, frozen_epochs=job.epochs))


def _protocol_text(job: AblationJob) -> str:
    model = job.base.model
    return (
        f"Frozen {model.architecture} ({model.weights} weights), head only, {job.epochs} epochs, at {job.side_px} px. Each "
        f"seed draws at most {job.films} training films, stratified by class and source, the head's first weights and the "
        "order of the films; within a seed all rows share them. Metrics are of the whole validation split after the last "
        "epoch, without augmentation. Differences from the baseline are taken seed by seed; ± is the standard deviation over "
        "seeds."
    )


def _read_cells(path: Path, protocol: dict[str, Any]) -> list[Cell]:
    """The finished cells, without those of rows whose augmentation has changed since. Raises ConfigError."""
    if not path.is_file():
        return []
    document = json.loads(path.read_text("utf-8"))
    differing = [name for name, value in protocol.items() if document["protocol"].get(name) != value]
    if differing:
        raise ConfigError(
            f"{path} holds cells of another protocol ({', '.join(differing)}); choose another --out, or the same options."
        )
    cells = [Cell(**entry) for entry in document["cells"]]
    return [cell for cell in cells if cell.changes == describe_row(cell.row)]
