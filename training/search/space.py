"""The search space (REPORT Table 16 and more): Optuna parameters named after settings, and the configurations they give."""

from collections.abc import Mapping
from typing import Any

from optuna import Trial
from optuna.distributions import CategoricalDistribution, FloatDistribution

from training.config import AugmentConfig, TrainConfig
from training.config_file import config_from_dict

Space = Mapping[str, FloatDistribution | CategoricalDistribution]

# Factor on all augmentations: 0 turns them off, 1 keeps the base configuration's.
STRENGTH = "augment.strength"

SPACE: Space = {
    "optimiser.learning_rate": FloatDistribution(1e-4, 1e-2, log=True),
    "optimiser.weight_decay": FloatDistribution(1e-3, 1e-1, log=True),
    "optimiser.backbone_factor": FloatDistribution(0.03, 1.0, log=True),
    "model.dropout": FloatDistribution(0.1, 0.6),
    "loss.label_smoothing": FloatDistribution(0.0, 0.2),
    "data.balance": CategoricalDistribution(("none", "class", "class_source")),
    "data.source_flattening": FloatDistribution(0.0, 1.0),
    "averaging.kind": CategoricalDistribution(("none", "ema", "swa")),
    "averaging.decay": CategoricalDistribution((0.98, 0.99, 0.995, 0.998)),
    # Table 16 gives the epoch of unfreezing, which follows these. Few, since a short run has only 5 epochs.
    "schedule.frozen_epochs": CategoricalDistribution((0, 1, 2, 3)),
    "augment.mixup_alpha": CategoricalDistribution((0.0, 0.2, 0.4)),
    STRENGTH: CategoricalDistribution((0.0, 0.5, 1.0, 1.5)),
}

# For films of unknown sources.
SPACE_WITHOUT_SOURCES: Space = {
    **{name: distribution for name, distribution in SPACE.items() if name != "data.source_flattening"},
    "data.balance": CategoricalDistribution(("none", "class")),
}

# Settings that scale with the strength.
_PROBABILITIES = (
    "horizontal_flip", "clahe", "equalise", "degrade", "jpeg", "erase", "border", "surroundings", "hollow",
)  # fmt: skip
_AMOUNTS = ("rotation_degrees", "brightness", "contrast", "noise", "scale")

# Upper limit of these. From 1.0 on, brightness or contrast could blacken or invert a film, and scale could mirror it.
_LARGEST_SHARE = 0.9
_SHARES = ("brightness", "contrast", "scale")


def suggest(trial: Trial, space: Space) -> dict[str, Any]:
    """Draw a value for each parameter of the space."""
    values: dict[str, Any] = {}
    for name, distribution in space.items():
        if isinstance(distribution, FloatDistribution):
            values[name] = trial.suggest_float(name, distribution.low, distribution.high, log=distribution.log)
        else:
            values[name] = trial.suggest_categorical(name, distribution.choices)
    return values


def base_values(base: TrainConfig, space: Space) -> dict[str, Any]:
    """The base configuration as a point of the space. It is tried first, so that the best trial is not worse than it.

    Values outside the space are left out, and the trial draws them.
    """
    values = {**base.settings(), STRENGTH: 1.0}
    return {name: values[name] for name, distribution in space.items() if _contains(distribution, values[name])}


def _contains(distribution: FloatDistribution | CategoricalDistribution, value: Any) -> bool:
    if isinstance(distribution, FloatDistribution):
        return distribution.low <= value <= distribution.high
    return value in distribution.choices


def tuned(base: TrainConfig, values: Mapping[str, Any]) -> TrainConfig:
    """`base` with the drawn values. Raises ConfigError."""
    document = base.as_dict()
    document["augment"] |= scaled_augment(base.augment, values[STRENGTH])
    for name, value in values.items():
        section, _, key = name.partition(".")
        if name != STRENGTH:
            document[section][key] = value
    if document["augment"]["mixup_alpha"]:
        document["augment"]["cutmix_alpha"] = 0.0
        document["loss"]["source_alignment"] = 0.0  # a mixed film has no class of its own
    return config_from_dict(document)


def scaled_augment(augment: AugmentConfig, strength: float) -> dict[str, float]:
    """All augmentations but mixing and cropping, `strength` times as strong or as likely, within their limits."""
    scaled = {name: min(1.0, getattr(augment, name) * strength) for name in _PROBABILITIES}
    scaled |= {name: getattr(augment, name) * strength for name in _AMOUNTS}
    scaled |= {name: min(_LARGEST_SHARE, scaled[name]) for name in _SHARES}
    return scaled | {"gamma": 1.0 + (augment.gamma - 1.0) * strength}
