"""What a search may change: REPORT Table 16's values and beyond, as Optuna parameters named after the configuration's keys.

Knows no films and runs nothing: trial in, configuration out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from optuna import Trial

from training.config import AugmentConfig, TrainConfig, config_from_dict

# Views of films are computed once a strength, so there is a handful of them: 0 is none, 1 is the base configuration's.
STRENGTHS = (0.0, 0.5, 1.0, 1.5)

_DECAYS = (0.98, 0.99, 0.995, 0.998)
_MIXUPS = (0.0, 0.2, 0.4)

_STRENGTH = "augment.strength"

# (lowest, highest, drawn on a logarithmic scale). Few epochs may be frozen: a short run has not many more.
_RANGES = {
    "optimiser.learning_rate": (1e-4, 1e-2, True),
    "optimiser.weight_decay": (1e-3, 1e-1, True),
    "optimiser.backbone_factor": (0.03, 1.0, True),
    "model.dropout": (0.1, 0.6, False),
    "loss.label_smoothing": (0.0, 0.2, False),
    "data.source_flattening": (0.0, 1.0, False),
    "schedule.frozen_epochs": (0, 3, False),
}

# Strengths that scale as they are; probabilities stay at most 1.
_PROBABILITIES = ("horizontal_flip", "clahe", "equalise", "degrade", "jpeg", "erase", "border", "surroundings", "hollow")
_AMOUNTS = ("rotation_degrees", "brightness", "contrast", "noise", "scale")

# Beyond this, brightness or contrast could turn a film black or invert it, and scale fold it over.
_LARGEST_SHARE = 0.9
_SHARES = ("brightness", "contrast", "scale")


def suggest(trial: Trial, *, whole_network: bool, knows_sources: bool) -> dict[str, Any]:
    """Draw one set of values. whole_network: also what matters only when the backbone is trained, or pixels are drawn anew.

    knows_sources: whether sampling may balance sources. The space of one study must not change, or its trials do not compare.
    """
    values: dict[str, Any] = {}

    def number(name: str) -> None:
        low, high, logarithmic = _RANGES[name]
        values[name] = trial.suggest_float(name, low, high, log=logarithmic)

    def choice(name: str, choices: Sequence[Any]) -> Any:
        values[name] = trial.suggest_categorical(name, choices)
        return values[name]

    for name in ("optimiser.learning_rate", "optimiser.weight_decay", "model.dropout", "loss.label_smoothing"):
        number(name)
    if choice("data.balance", ("none", "class", "class_source") if knows_sources else ("none", "class")) == "class_source":
        number("data.source_flattening")
    if choice("averaging.kind", ("none", "ema", "swa")) == "ema":
        choice("averaging.decay", _DECAYS)
    choice(_STRENGTH, STRENGTHS)
    if whole_network:
        number("optimiser.backbone_factor")
        # The epoch of unfreezing of Table 16 is the one after these.
        low, high, _ = _RANGES["schedule.frozen_epochs"]
        values["schedule.frozen_epochs"] = trial.suggest_int("schedule.frozen_epochs", int(low), int(high))
        choice("augment.mixup_alpha", _MIXUPS)
    return values


def base_values(base: TrainConfig, *, whole_network: bool, knows_sources: bool) -> dict[str, Any]:
    """The base configuration as a point of the space, to be tried first: a search must not end below what it began with.

    What the space does not hold of it is left out, to be drawn.
    """
    balance = base.data.balance if knows_sources or base.data.balance != "class_source" else "class"
    names = ["optimiser.learning_rate", "optimiser.weight_decay", "model.dropout", "loss.label_smoothing"]
    values: dict[str, Any] = {"data.balance": balance, "averaging.kind": base.averaging.kind, _STRENGTH: 1.0}
    if balance == "class_source":
        names.append("data.source_flattening")
    if base.averaging.kind == "ema" and base.averaging.decay in _DECAYS:
        values["averaging.decay"] = base.averaging.decay
    if whole_network:
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
    """`base` with the drawn values in their places. Raises ConfigError for what the configuration does not know."""
    document = base.as_dict()
    document["augment"] |= scaled_augment(base.augment, values.get(_STRENGTH, 1.0))
    for dotted, value in values.items():
        section, _, key = dotted.partition(".")
        if dotted != _STRENGTH:
            document[section][key] = value
    if document["augment"]["mixup_alpha"]:
        document["augment"]["cutmix_alpha"] = 0.0
        document["loss"]["source_alignment"] = 0.0  # a film of two classes is drawn to neither
    return config_from_dict(document)


def scaled_augment(augment: AugmentConfig, strength: float) -> dict[str, float]:
    """Every augmentation but mixing and cropping, `strength` times as strong or as likely."""
    scaled = {name: min(1.0, getattr(augment, name) * strength) for name in _PROBABILITIES}
    scaled |= {name: getattr(augment, name) * strength for name in _AMOUNTS}
    scaled |= {name: min(_LARGEST_SHARE, scaled[name]) for name in _SHARES}
    return scaled | {"gamma": 1.0 + (augment.gamma - 1.0) * strength}


def shortened(config: TrainConfig, *, epochs: int, films: int, all_films: int, side_px: int) -> TrainConfig:
    """A short run that stands for `config`: few epochs of few, small films.

    films, all_films: training films of the short and of the whole run. The decay of an EMA is raised to the ratio of their
    steps, so that the average spans the same part of the run; the schedule has one cycle.
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
