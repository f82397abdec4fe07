"""Builds the network with which a run begins: its initial weights, and where they come from."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torch import Tensor

from service.model.bundle import ModelBundle
from service.model.manifest import GRAPH_NAME, HEAD_NAME
from training.config import ModelConfig, TrainConfig
from training.data.batches import FilmStore, TrainingFilms, batches
from training.data.sampling import epoch_order, film_weights
from training.devices import seed_everything
from training.errors import ConfigError
from training.network.bundle_weights import settle_norms
from training.network.checkpoint import load_checkpoint, recipe_of
from training.network.classifier import ChestXrayNetwork, build_network
from training.network.pretrained import load_backbone_weights

# Number of films for the statistics of a bundle's BatchNorms.
_STATISTICS_FILMS = 512


def initial_network(config: TrainConfig, training: FilmStore) -> ChestXrayNetwork:
    """The network before its first step, the same every time. Raises WeightsUnavailable or CheckpointInvalid."""
    seed_everything(config.run)
    network = build_network(config.model.architecture, hidden=config.model.hidden, dropout=config.model.dropout)
    load_backbone_weights(network, config.model)
    if config.model.weights == "bundle":
        settle_norms(network, _statistics_batches(training, config))
    return network


def require_unseen_source(config: TrainConfig) -> None:
    """Raise ConfigError if the run holds out a source that its initial weights may have been trained on."""
    held_out, origin = config.data.held_out_source, Path(config.model.weights_file)
    if not held_out or config.model.weights not in ("bundle", "checkpoint"):
        return
    released = config.model.weights == "bundle"
    recipe = ModelBundle.open(origin).manifest.training_config if released else initial_recipe(config.model)
    if (recipe or {}).get("data", {}).get("held_out_source") != held_out:
        raise ConfigError(
            f"data.held_out_source is {held_out!r}, but the initial weights in {origin} were not trained without that source; "
            "begin with weights that were, or with model.weights packaged, hub or none."
        )


def initial_weights_sha256(config: ModelConfig) -> str:
    """SHA-256 (hex) of the file with the initial weights, or of a bundle's graph and head; "" if there is no file.

    It identifies the weights where the path does not: a file may change.
    """
    origin = Path(config.weights_file)
    files = {"file": [origin], "checkpoint": [origin], "bundle": [origin / GRAPH_NAME, origin / HEAD_NAME]}
    if config.weights not in files:
        return ""
    digest = hashlib.sha256()
    for path in files[config.weights]:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def initial_recipe(config: ModelConfig) -> dict[str, Any] | None:
    """Recipe of the checkpoint with the initial weights, see `recipe_of`; None if they are not of a checkpoint."""
    return recipe_of(load_checkpoint(Path(config.weights_file))) if config.weights == "checkpoint" else None


def _statistics_batches(store: FilmStore, config: TrainConfig) -> Iterator[Tensor]:
    """Batches of training films, uint8 [B, S, S], drawn and augmented as in an epoch, for `settle_norms`."""
    drawn = epoch_order(film_weights(store.films, config.data), balanced=True, seed=config.run.seed, epoch=0)
    films = TrainingFilms(store, drawn[:_STATISTICS_FILMS], config.augment, config.data.image_size_px, [config.run.seed, 0])
    for images, _, _ in batches(films, config.optimiser.batch_size):
        yield images
