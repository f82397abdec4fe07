"""The settings that a search varies (REPORT Table 16 and more), as Optuna parameters named after the configuration's keys.

Trial in, configuration out; knows no films and runs nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from optuna import Trial

from training.config import AUGMENT_PROBABILITIES, AugmentConfig, TrainConfig
from training.config_file import config_from_dict

# Of all augmentations: 0 is none, 1 is the base configuration's. Features are computed once per strength, so there are few.
STRENGTHS = (0.0, 0.5, 1.0, 1.5)

_DECAYS = (0.98, 0.99, 0.995, 0.998)
_MIXUPS = (0.0, 0.2, 0.4)

_STRENGTH = "augment.strength"

# (lowest, highest, drawn on a logarithmic scale). At most 3 epochs are frozen, since a short run has only 5.
_RANGES = {
    "optimiser.learning_rate": (1e-4, 1e-2, True),
    "optimiser.weight_decay": (1e-3, 1e-1, True),
    "optimiser.backbone_factor": (0.03, 1.0, True),
    "model.dropout": (0.1, 0.6, False),
    "loss.label_smoothing": (0.0, 0.2, False),
    "data.source_flattening": (0.0, 1.0, False),
    "schedule.frozen_epochs": (0, 3, False),
}

# What scales with the strength beside the probabilities.
_AMOUNTS = ("rotation_degrees", "brightness", "contrast", "noise", "scale")

# From 1.0 on, brightness or contrast could blacken or invert a film, and scale could mirror it.
_LARGEST_SHARE = 0.9
_SHARES = ("brightness", "contrast", "scale")


@dataclass(frozen=True)
class Space:
    """Which settings a study varies. It must not change within a study, or the trials do not compare."""

    whole_network: bool  # include the settings that only matter when the backbone trains
    knows_sources: bool  # include balancing of sources


def suggest(trial: Trial, space: Space) -> dict[str, Any]:
    """Draw one set of values."""
    values: dict[str, Any] = {}

    def number(name: str) -> None:
        low, high, logarithmic = _RANGES[name]
        values[name] = trial.suggest_float(name, low, high, log=logarithmic)

    def choice(name: str, choices: Sequence[Any]) -> Any:
        values[name] = trial.suggest_categorical(name, choices)
        return values[name]

    for name in ("optimiser.learning_rate", "optimiser.weight_decay", "model.dropout", "loss.label_smoothing"):
        number(name)
    if (
        choice("data.balance", ("none", "class", "class_source") if space.knows_sources else ("none", "class"))
        == "class_source"
    ):
        number("data.source_flattening")
    if choice("averaging.kind", ("none", "ema", "swa")) == "ema":
        choice("averaging.decay", _DECAYS)
    choice(_STRENGTH, STRENGTHS)
    if space.whole_network:
        number("optimiser.backbone_factor")
        # The epoch of unfreezing of Table 16 is the one after these.
        low, high, _ = _RANGES["schedule.frozen_epochs"]
        values["schedule.frozen_epochs"] = trial.suggest_int("schedule.frozen_epochs", int(low), int(high))
        choice("augment.mixup_alpha", _MIXUPS)
    return values


def base_values(base: TrainConfig, space: Space) -> dict[str, Any]:
    """The base configuration as a point of the space, to be tried first: a search must not end worse than it started.

    Values outside the space are left out, so that the trial draws them.
    """
    balance = base.data.balance if space.knows_sources or base.data.balance != "class_source" else "class"
    names = ["optimiser.learning_rate", "optimiser.weight_decay", "model.dropout", "loss.label_smoothing"]
    values: dict[str, Any] = {"data.balance": balance, "averaging.kind": base.averaging.kind, _STRENGTH: 1.0}
    if balance == "class_source":
        names.append("data.source_flattening")
    if base.averaging.kind == "ema" and base.averaging.decay in _DECAYS:
        values["averaging.decay"] = base.averaging.decay
    if space.whole_network:
        names += ["optimiser.backbone_factor", "schedule.frozen_epochs"]
        if base.augment.mixup_alpha in _MIXUPS:
            values["augment.mixup_alpha"] = base.augment.mixup_alpha
    document = base.as_dict()
    for name in names:
        section, _, key = name.partition(".")
        low, high, _ = _RANGES[name]
        if low <= document[section][key] <= high:
            values[name] = document[section][key]
    return values


def tuned(base: TrainConfig, values: Mapping[str, Any]) -> TrainConfig:
    """`base` with the drawn values. Raises ConfigError."""
    document = base.as_dict()
    document["augment"] |= scaled_augment(base.augment, values.get(_STRENGTH, 1.0))
    for dotted, value in values.items():
        section, _, key = dotted.partition(".")
        if dotted != _STRENGTH:
            document[section][key] = value
    if document["augment"]["mixup_alpha"]:
        document["augment"]["cutmix_alpha"] = 0.0
        document["loss"]["source_alignment"] = 0.0  # a mixed film has no class of its own
    return config_from_dict(document)


def scaled_augment(augment: AugmentConfig, strength: float) -> dict[str, float]:
    """All augmentations but mixing and cropping, `strength` times as strong or as likely."""
    scaled = {name: min(1.0, getattr(augment, name) * strength) for name in AUGMENT_PROBABILITIES}
    scaled |= {name: getattr(augment, name) * strength for name in _AMOUNTS}
    scaled |= {name: min(_LARGEST_SHARE, scaled[name]) for name in _SHARES}
    return scaled | {"gamma": 1.0 + (augment.gamma - 1.0) * strength}


def shortened(config: TrainConfig, *, epochs: int, films: int, all_films: int, side_px: int) -> TrainConfig:
    """A short run in place of `config`: few epochs, few and small films, one cosine cycle.

    films: training films of the short run. all_films: of the whole run. The decay of an EMA is raised to the ratio of their
    optimiser steps, so that the average spans the same part of the run.
    """
    ratio = max(1.0, config.schedule.epochs * all_films / (epochs * films))
    warmup_epochs = min(1, epochs - 1)
    resize_px = round(config.augment.resize_px * side_px / config.data.image_size_px)
    schedule = replace(
        config.schedule,
        epochs=epochs,
        warmup_epochs=warmup_epochs,
        cycle_epochs=epochs - warmup_epochs,
        frozen_epochs=min(config.schedule.frozen_epochs, epochs - 1),
        small_epochs=0,
    )
    averaging = replace(
        config.averaging,
        decay=config.averaging.decay**ratio,
        start_epoch=min(config.averaging.start_epoch, max(1, epochs // 2)),
    )
    changed = replace(
        config,
        data=replace(config.data, image_size_px=side_px, workers=0),
        augment=replace(config.augment, resize_px=resize_px),
        schedule=schedule,
        averaging=averaging,
    )
    return config_from_dict(changed.as_dict())
