"""The augmentation ablation (REPORT Table 8): python -m training.search.ablate --data DIR.

main() is the table of contents: validate the data, compute the cells that are missing, print the table. Finished cells are
kept in --out, so that a killed ablation goes on with the same command, and --seeds can be raised later.
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from service.film.errors import ChestXrayError
from training.config import AveragingConfig, ScheduleConfig, TrainConfig, config_from_dict, load_config
from training.data.folder import FilmFile, scan_folder, without_source
from training.data.subset import films_of_every_class
from training.data.validation import ValidationLimits, validate_dataset
from training.devices import choose_device
from training.errors import ConfigError
from training.json_file import write_whole
from training.network.initialise import require_unseen_source
from training.search.ablation import BASELINE, ROWS, Cell, Protocol, describe_row, row_augment, summarise, table
from training.search.frozen_features import Features, FrozenBackbone
from training.search.head_fit import fit_head

CELLS_NAME = "cells.json"
TABLE_NAME = "ablation.md"


def main(argv: Sequence[str] | None = None) -> int:
    """Run or continue one ablation. Returns 0, or 1 with a message on stderr."""
    arguments = _parse(argv)
    try:
        protocol, cells = ablate(arguments)
    except (ChestXrayError, OSError) as fault:
        print(f"{type(fault).__name__}: {fault}", file=sys.stderr)
        return 1
    text = f"{protocol.sentences()}\n\n{table(summarise(cells))}\n\n{_LIMITS}\n"
    (arguments.out / TABLE_NAME).write_text(f"# Ablation of augmentations\n\n{text}", encoding="utf-8")
    print(text)
    print(f"Written to {arguments.out}: {TABLE_NAME}, {CELLS_NAME}")
    return 0


_LIMITS = (
    "A frozen backbone cannot learn from an augmentation, only its head can; and validation films come from the hospitals of "
    "the training films, so that what helps in a hospital not seen before may look useless or harmful here."
)


def ablate(arguments: argparse.Namespace) -> tuple[Protocol, list[Cell]]:
    """Compute what is missing of the cells asked for; returns the protocol and all cells asked for.

    Raises ConfigError for impossible settings, or if --out holds cells of another protocol; DatasetError.
    """
    config = _config_of(arguments)
    require_unseen_source(config)
    limits = ValidationLimits(near_duplicate_bits=config.data.near_duplicate_bits)
    report = validate_dataset(scan_folder(arguments.data), workers=os.cpu_count() or 1, limits=limits)
    report.require_trainable()
    kept = without_source(report.usable, config.data.held_out_source)
    films = {split: [film for film in kept if film.split == split] for split in ("train", "val")}
    protocol = Protocol(
        architecture=config.model.architecture,
        weights=config.model.weights,
        films=arguments.films,
        views=arguments.views,
        epochs=arguments.epochs,
        side_px=arguments.side_px,
        data_fingerprint=report.data_fingerprint,
        recipe={**_recipe(config), "sources": report.sources_fingerprint},
    )
    path = arguments.out / CELLS_NAME
    done = _read_cells(path, protocol)
    rows = [row for row in ROWS if row == BASELINE or not arguments.only or row in arguments.only]
    wanted = [(row, seed) for seed in range(arguments.seeds) for row in rows]
    missing = [key for key in wanted if key not in done]
    if missing:
        arguments.out.mkdir(parents=True, exist_ok=True)
        backbone = FrozenBackbone.build(config, choose_device(config.run.device))
        validation = backbone.of_films(films["val"], label="validation films")
        for row, seed in tqdm(missing, desc="Cells", unit="cell", dynamic_ncols=True, disable=None):
            drawn = films_of_every_class(films["train"], protocol.films, seed)
            done[row, seed] = _compute(row, seed, backbone, drawn, validation, config, protocol)
            _write_cells(path, protocol, list(done.values()))
    return protocol, [done[key] for key in wanted]


def _compute(
    row: str,
    seed: int,
    backbone: FrozenBackbone,
    films: Sequence[FilmFile],
    validation: Features,
    config: TrainConfig,
    protocol: Protocol,
) -> Cell:
    augment = row_augment(row, protocol.side_px)
    # Without anything drawn all views are the same.
    views = 1 if row == BASELINE else protocol.views
    training = backbone.of_training_films(films, augment, views=views, seed=seed, label=f"{row}, seed {seed}")
    seeded = replace(config, run=replace(config.run, seed=seed))
    *_, last = fit_head(training, films, validation, seeded)
    return Cell(row, seed, round(last.accuracy, 6), round(last.auc, 6), round(last.f1, 6))


def _config_of(arguments: argparse.Namespace) -> TrainConfig:
    """--config with the ablation's own schedule, side and films; every cell sets its augmentation and seed."""
    for name in ("seeds", "films", "views", "epochs"):
        if getattr(arguments, name) < 1:
            raise ConfigError(f"--{name} is {getattr(arguments, name)}; it must be at least 1.")
    config = load_config(arguments.config)
    warmup_epochs = min(1, arguments.epochs - 1)
    schedule = ScheduleConfig(
        epochs=arguments.epochs, warmup_epochs=warmup_epochs, cycle_epochs=arguments.epochs - warmup_epochs
    )
    changed = replace(
        config,
        data=replace(config.data, image_size_px=arguments.side_px, lungs=""),
        augment=row_augment(BASELINE, arguments.side_px),
        schedule=schedule,
        averaging=AveragingConfig(),
        run=replace(config.run, device=arguments.device or config.run.device, threads=arguments.threads),
    )
    return config_from_dict(changed.as_dict())


def _recipe(config: TrainConfig) -> dict[str, Any]:
    """What the figures depend on beside the protocol's own numbers."""
    names = ("balance", "source_flattening", "held_out_source")
    balance = {name: getattr(config.data, name) for name in names}
    return {"data": balance, "model": asdict(config.model), "loss": asdict(config.loss), "optimiser": asdict(config.optimiser)}


def _read_cells(path: Path, protocol: Protocol) -> dict[tuple[str, int], Cell]:
    """Finished cells by row and seed; those of rows that have changed since are left out."""
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
    """Atomically: an ablation killed while writing keeps the cells before."""
    entries = [{**asdict(cell), "changes": describe_row(cell.row)} for cell in cells]
    write_whole(path, {"protocol": asdict(protocol), "cells": entries})


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m training.search.ablate", description="Compare augmentations one by one.")
    parser.add_argument(
        "--data", type=Path, required=True, help="folder train|val|test/<class>/…, optionally with manifest.csv"
    )
    parser.add_argument("--out", type=Path, default=Path("runs/ablation"), help="folder of the results (default: %(default)s)")
    parser.add_argument(
        "--config",
        type=Path,
        default=Path("training/configs/lite0.toml"),
        help="backbone, loss, optimiser, sampling of films",
    )
    parser.add_argument("--seeds", type=int, default=3, help="seeds per row; raise it later to add more (default: %(default)s)")
    parser.add_argument("--films", type=int, default=600, help="training films per seed, at most (default: %(default)s)")
    parser.add_argument("--views", type=int, default=5, help="augmented views of a film (default: %(default)s)")
    parser.add_argument("--epochs", type=int, default=10, help="of the head's training (default: %(default)s)")
    parser.add_argument("--side-px", type=int, default=160, help="side of the model input (default: %(default)s)")
    parser.add_argument(
        "--only", nargs="+", choices=list(ROWS), metavar="ROW", help=f"these rows and the baseline: {', '.join(ROWS)}"
    )
    parser.add_argument("--device", help="auto, cpu, cuda, cuda:1 or mps; overrides run.device")
    parser.add_argument("--threads", type=int, default=0, help="of PyTorch (default: its own choice)")
    return parser.parse_args(argv)


if __name__ == "__main__":
    raise SystemExit(main())
