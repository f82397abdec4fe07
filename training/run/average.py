"""Averages the weights of several runs.

Runs with the same initial weights but other seeds or recipes end close to each other, and the mean of their weights is often
better than each of them, at the cost of one network (model soups, Wortsman et al. 2022, arXiv:2203.05482). The same holds if
the initial weights are included (arXiv:2109.01903). The validation metrics are only shown; they choose nothing.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from training.config import TrainConfig
from training.config_file import config_from_dict
from training.data.batches import EvaluationFilms, FilmStore, batches
from training.data.training_data import TrainingData, read_training_data
from training.devices import Compute, choose_device
from training.errors import CheckpointInvalid, ConfigError, DatasetError
from training.network.checkpoint import BEST_NAME, LATEST_NAME, load_checkpoint, recipe_of, save_checkpoint
from training.network.classifier import build_network
from training.network.initialise import initial_network, initial_weights_sha256
from training.run.loop import EpochMetrics, evaluate_epoch
from training.run.objective import Objective
from training.tables import markdown_table


def average_runs(
    runs: Sequence[Path], data: Path, out: Path, *, with_start: bool = False, last: bool = False, device_name: str = ""
) -> str:
    """Write the mean of the runs' best models to `out`/best_model.pt. Returns a Markdown table of validation metrics.

    with_start: include the initial weights of the first run. last: average the runs' last epochs instead of their best, which
    are the best of each network alone. device_name: overrides run.device.

    The checkpoint has the first run's configuration; `averaged_runs` has the recipes of all. Raises CheckpointInvalid for
    runs that do not fit each other, ConfigError if `out` cannot be written or holds a model, and DatasetError if `data` is not
    the folder that they were trained on.
    """
    if (out / BEST_NAME).exists():
        raise ConfigError(f"{out} already holds a {BEST_NAME}; choose another --out.")
    checkpoints = [load_checkpoint(run / (LATEST_NAME if last else BEST_NAME)) for run in runs]
    _require_alike(runs, checkpoints)
    config = config_from_dict(checkpoints[0]["config"])
    films = _read_films(data, config, checkpoints[0])
    states = [(str(run), _weights(checkpoint, last=last)) for run, checkpoint in zip(runs, checkpoints, strict=True)]
    if with_start:
        if checkpoints[0].get("first_weights_sha256", "") not in ("", initial_weights_sha256(config.model)):
            raise CheckpointInvalid(
                f"{config.model.weights_file} is no longer what {runs[0]} began with; restore it, or leave out --with-start."
            )
        start = initial_network(config, FilmStore.for_training(films.train, config, cache=config.data.cache))
        states.append(("what they began with", start.state_dict()))
    mean = mean_weights([state for _, state in states])
    compute = Compute.of(config.run, choose_device(device_name or config.run.device))
    store = FilmStore.for_evaluation(films.val, config, cache=True)
    judged = [(name, _judge(state, config, store, compute)) for name, state in [*states, ("their mean", mean)]]
    averaged = {
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
        save_checkpoint(out / BEST_NAME, averaged)
    except OSError as fault:
        raise ConfigError(f"--out {out} cannot be written ({fault.strerror}); choose another folder.") from fault
    rows = [(name, *(f"{value:.4f}" for value in (each.loss, each.f1, each.accuracy, each.auc))) for name, each in judged]
    return markdown_table(("validation split", "loss", "macro F1", "accuracy", "macro AUC"), rows)


def mean_weights(states: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """The mean of each tensor over networks of the same shapes. Integer counters are those of the first network.

    BatchNorm statistics are averaged like weights: where the weights differ little, so do the layers' inputs.
    """
    return {
        name: torch.stack([state[name] for state in states]).mean(dim=0) if first.is_floating_point() else first
        for name, first in states[0].items()
    }


def _weights(checkpoint: dict[str, Any], *, last: bool) -> dict[str, Tensor]:
    """The weights that validation judged: in a latest checkpoint, the running average if it has begun."""
    prefix = "module."  # of torch.optim.swa_utils.AveragedModel
    average = checkpoint.get("average_state_dict", {}) if last else {}
    if not average.get("n_averaged"):
        return checkpoint["model_state_dict"]
    return {name.removeprefix(prefix): tensor for name, tensor in average.items() if name.startswith(prefix)}


def _judge(state: dict[str, Tensor], config: TrainConfig, store: FilmStore, compute: Compute) -> EpochMetrics:
    network = build_network(config.model.architecture, hidden=config.model.hidden, dropout=config.model.dropout)
    network.load_state_dict(state)
    loader = batches(EvaluationFilms(store, range(len(store.films))), 64)
    objective = Objective(label_smoothing=config.loss.label_smoothing)
    return evaluate_epoch(network.to(compute.device), loader, objective, compute, "judging")


def _require_alike(runs: Sequence[Path], checkpoints: Sequence[dict[str, Any]]) -> None:
    """Raise CheckpointInvalid for runs whose mean has no meaning."""
    first = _shared(checkpoints[0])
    for run, checkpoint in zip(runs[1:], checkpoints[1:], strict=True):
        for what, value in _shared(checkpoint).items():
            if value != first[what]:
                raise CheckpointInvalid(f"{run} and {runs[0]} differ in their {what}; only runs that share it have a mean.")


def _shared(checkpoint: dict[str, Any]) -> dict[str, Any]:
    """What runs must have in common, by its name in the error message."""
    model, data, run = (checkpoint["config"].get(section, {}) for section in ("model", "data", "run"))
    # If the initial weights have no head, the seed draws it.
    seed = run.get("seed") if model.get("weights") not in ("bundle", "checkpoint") else None
    return {
        "network": {name: tensor.shape for name, tensor in checkpoint["model_state_dict"].items()},
        "data": checkpoint.get("data_fingerprint"),
        "first weights (section [model])": model,
        "sources or groups": checkpoint.get("sources_fingerprint"),
        "image size or held-out source (section [data])": (data.get("image_size_px"), data.get("held_out_source", "")),
        "first weights (as they were)": (checkpoint.get("first_weights_sha256"), seed),
    }


def _read_films(data: Path, config: TrainConfig, checkpoint: dict[str, Any]) -> TrainingData:
    films = read_training_data(data, config.data)
    own = {"data_fingerprint": films.data_fingerprint, "sources_fingerprint": films.sources_fingerprint}
    if any(checkpoint.get(name, digest) != digest for name, digest in own.items()):
        raise DatasetError(
            f"{data} is not the folder that the runs were trained on; give that one, every file and manifest.csv as they were."
        )
    return films
