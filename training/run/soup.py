"""Average the weights of several runs: python -m training.run.soup runs/a runs/b --data DATA --out runs/soup.

Runs that began with the same weights and learnt with different seeds or recipes end in one basin, where the mean of their
weights is often better than each, at the cost of one network (model soups, Wortsman et al. 2022, arXiv:2203.05482); so is the
mean with the weights that they began with (arXiv:2109.01903). The validation split judges each and the mean; nothing is chosen.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from service.film.errors import ChestXrayError
from training.config import TrainConfig, config_from_dict
from training.data.batches import EvaluationFilms, FilmStore, batches
from training.data.folder import FilmFile, scan_folder, without_source
from training.data.model_input import preprocess_spec
from training.data.validation import ValidationLimits, validate_dataset
from training.devices import Processes, choose_device, choose_precision
from training.errors import CheckpointInvalid, ConfigError, DatasetError
from training.network.checkpoint import BEST_NAME, LATEST_NAME, load_checkpoint, recipe_of, save_checkpoint
from training.network.classifier import ChestXrayNetwork, build_network
from training.network.initialise import begin, first_weights_sha256, training_store
from training.run.loop import EpochFigures, evaluate_epoch
from training.tables import markdown_table

_BATCH = 64


def main(argv: Sequence[str] | None = None) -> int:
    """Average runs. Returns 0, or 1 with a message on stderr."""
    arguments = _parse(argv)
    try:
        print(
            average_runs(
                arguments.runs,
                arguments.data,
                arguments.out,
                with_start=arguments.with_start,
                last=arguments.last,
                device_name=arguments.device,
            )
        )
    except ChestXrayError as fault:
        print(f"{type(fault).__name__}: {fault}", file=sys.stderr)
        return 1
    return 0


def average_runs(
    runs: Sequence[Path], data: Path, out: Path, *, with_start: bool = False, last: bool = False, device_name: str | None = None
) -> str:
    """Write the mean of the runs' best models to `out`/best_model.pt; returns a table of validation figures, in Markdown.

    with_start: what the first run began with takes part like a run. last: each run as it ended instead of its best epoch, which
        is the best for one network alone.
    The new checkpoint has the first run's configuration, those of all in `averaged_runs`, and how they were averaged.
    Raises CheckpointInvalid for runs that do not fit each other, ConfigError if `out` cannot be written or holds a model, and
    DatasetError if `data` is not what they were trained on.
    """
    if (out / BEST_NAME).exists():
        raise ConfigError(f"{out} already holds a {BEST_NAME}; choose another --out.")
    checkpoints = [load_checkpoint(run / (LATEST_NAME if last else BEST_NAME)) for run in runs]
    _require_alike(runs, checkpoints)
    config = config_from_dict(checkpoints[0]["config"])
    films = _usable_films(data, config, checkpoints[0])
    judge = _Judge(films["val"], config, device_name)
    states = [(str(run), _weights(checkpoint, last=last)) for run, checkpoint in zip(runs, checkpoints, strict=True)]
    if with_start:
        if checkpoints[0].get("first_weights_sha256", "") not in ("", first_weights_sha256(config.model)):
            raise CheckpointInvalid(
                f"{config.model.weights_file} is no longer what {runs[0]} began with; restore it, or leave out --with-start."
            )
        states.append(("what they began with", begin(config, training_store(films["train"], config)).state_dict()))
    mean = mean_weights([state for _, state in states])
    judged = [(name, judge(state)) for name, state in [*states, ("their mean", mean)]]
    soup = {
        **{name: value for name, value in checkpoints[0].items() if name not in ("began_with", "alignment_state_dict")},
        "model_state_dict": mean,
        "optimizer_state_dict": {},
        "scheduler_state_dict": {},
        "val_f1": judged[-1][1].f1,
        "averaged_runs": [recipe_of(checkpoint) for checkpoint in checkpoints],
        "averaged_with_start": with_start,
        "averaged_last": last,
    }
    try:
        out.mkdir(parents=True, exist_ok=True)
        save_checkpoint(out / BEST_NAME, soup)
    except OSError as fault:
        raise ConfigError(f"--out {out} cannot be written ({fault.strerror}); choose another folder.") from fault
    rows = [(name, *_row(each)) for name, each in judged]
    return markdown_table(("validation split", "loss", "macro F1", "accuracy", "macro AUC"), rows)


def mean_weights(states: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """The mean of each tensor over networks of one shape; counters, which are integers, are the first one's.

    BatchNorm statistics are averaged like weights: where the weights differ little, so do the layers' inputs.
    """
    return {
        name: torch.stack([state[name] for state in states]).mean(dim=0) if first.is_floating_point() else first
        for name, first in states[0].items()
    }


def _weights(checkpoint: dict[str, Any], *, last: bool) -> dict[str, Tensor]:
    """What validation judged: in a best model its weights, in the latest checkpoint their running average if there is one."""
    prefix = "module."  # of torch.optim.swa_utils.AveragedModel
    average = checkpoint.get("average_state_dict", {}) if last else {}
    if not average.get("n_averaged"):
        return checkpoint["model_state_dict"]
    return {name.removeprefix(prefix): tensor for name, tensor in average.items() if name.startswith(prefix)}


class _Judge:
    """Figures of networks on the validation split, the films of which are read once."""

    def __init__(self, films: Sequence[FilmFile], config: TrainConfig, device_name: str | None) -> None:
        self._config = config
        self._device = choose_device(device_name or config.run.device)
        spec = preprocess_spec(config)
        store = FilmStore(films, spec, spec.image_size_px, cache=True)
        self._films = EvaluationFilms(store, range(len(films)))

    def __call__(self, state: dict[str, Tensor]) -> EpochFigures:
        loader = batches(self._films, batch_size=_BATCH, workers=0, drop_last=False, pin_memory=False)
        config = self._config
        return evaluate_epoch(
            _network_of(config, state).to(self._device), loader, None, config.loss.label_smoothing,
            choose_precision(config.run.amp, self._device), self._device, Processes(), "judging",
        )  # fmt: skip


def _network_of(config: TrainConfig, state: dict[str, Tensor]) -> ChestXrayNetwork:
    network = build_network(config.model.architecture, hidden=config.model.hidden, dropout=config.model.dropout)
    network.load_state_dict(state)
    return network


def _require_alike(runs: Sequence[Path], checkpoints: Sequence[dict[str, Any]]) -> None:
    first = checkpoints[0]
    for run, checkpoint in zip(runs[1:], checkpoints[1:], strict=True):
        ours, theirs = (
            {name: tensor.shape for name, tensor in each["model_state_dict"].items()} for each in (first, checkpoint)
        )
        for what, differ in (
            ("network", ours != theirs),
            ("data", first.get("data_fingerprint") != checkpoint.get("data_fingerprint")),
            ("first weights (section [model])", first["config"].get("model") != checkpoint["config"].get("model")),
            ("sources or groups", first.get("sources_fingerprint") != checkpoint.get("sources_fingerprint")),
            ("image size or held-out source (section [data])", _films_of(first) != _films_of(checkpoint)),
            ("first weights (as they were)", _beginning_of(first) != _beginning_of(checkpoint)),
        ):
            if differ:
                raise CheckpointInvalid(f"{run} and {runs[0]} differ in their {what}; only runs that share it have a mean.")


def _beginning_of(checkpoint: dict[str, Any]) -> tuple[Any, ...]:
    """What tells apart runs of one [model] section; a seed draws the first head, if the weights bring none."""
    config = checkpoint["config"]
    is_drawn = config.get("model", {}).get("weights") not in ("bundle", "checkpoint")
    return (checkpoint.get("first_weights_sha256"), config.get("run", {}).get("seed") if is_drawn else None)


def _films_of(checkpoint: dict[str, Any]) -> tuple[Any, ...]:
    section = checkpoint["config"].get("data", {})
    return (section.get("image_size_px"), section.get("held_out_source", ""))


def _usable_films(data: Path, config: TrainConfig, checkpoint: dict[str, Any]) -> dict[str, list[FilmFile]]:
    limits = ValidationLimits(near_duplicate_bits=config.data.near_duplicate_bits)
    report = validate_dataset(scan_folder(data), workers=os.cpu_count() or 1, limits=limits)
    own = {"data_fingerprint": report.data_fingerprint, "sources_fingerprint": report.sources_fingerprint}
    if any(checkpoint.get(name, digest) != digest for name, digest in own.items()):
        raise DatasetError(
            f"{data} is not the folder that the runs were trained on; give that one, every file and manifest.csv as they were."
        )
    kept = without_source(report.usable, config.data.held_out_source)
    return {split: [film for film in kept if film.split == split] for split in ("train", "val")}


def _row(figures: EpochFigures) -> tuple[str, ...]:
    return tuple(f"{value:.4f}" for value in (figures.loss, figures.f1, figures.accuracy, figures.auc))


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m training.run.soup", description="Average the weights of several runs.")
    parser.add_argument("runs", type=Path, nargs="+", help="folders of finished runs that began with the same weights")
    parser.add_argument("--data", type=Path, required=True, help="the data folder that they were trained on")
    parser.add_argument("--out", type=Path, required=True, help="new folder for best_model.pt")
    parser.add_argument("--with-start", action="store_true", help="what the runs began with takes part as well")
    parser.add_argument("--last", action="store_true", help="the runs as they ended instead of their best epochs")
    parser.add_argument("--device", help="auto, cpu, cuda, cuda:1 or mps; overrides run.device")
    arguments = parser.parse_args(argv)
    if len(arguments.runs) + arguments.with_start < 2:
        parser.error("give at least two runs, or one and --with-start")
    return arguments


if __name__ == "__main__":
    sys.exit(main())
