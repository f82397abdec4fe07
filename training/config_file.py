"""TrainConfig <-> TOML. An unknown section or key, a wrong type and an impossible value raise ConfigError."""

import json
import tomllib
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from training.config import AUGMENT_PROBABILITIES, TrainConfig
from training.errors import ConfigError


def load_config(path: Path, overrides: tuple[str, ...] = ()) -> TrainConfig:
    """Read TOML, then apply overrides of the form "section.key=value", with the value in TOML syntax. Raises ConfigError."""
    try:
        document = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError as fault:
        raise ConfigError(f"No config at {path}; see training/configs/ for examples.") from fault
    except tomllib.TOMLDecodeError as fault:
        raise ConfigError(f"{path} is not valid TOML: {fault}") from fault
    for override in overrides:
        dotted, _, value = override.partition("=")
        section, _, key = dotted.strip().partition(".")
        try:
            document.setdefault(section, {})[key] = tomllib.loads(f"value = {value}")["value"]
        except (tomllib.TOMLDecodeError, TypeError) as fault:
            raise ConfigError(
                f"Override {override!r} is not section.key=value with a TOML value (strings in quotes)."
            ) from fault
    return config_from_dict(document)


def config_from_dict(document: dict[str, Any]) -> TrainConfig:
    """Nested dict -> TrainConfig; missing keys keep their defaults. Raises ConfigError."""
    config = TrainConfig()
    sections = {section.name: getattr(config, section.name) for section in fields(TrainConfig)}
    for name, values in document.items():
        if name not in sections:
            raise ConfigError(f"Unknown config section [{name}]; known: {', '.join(sections)}.")
        if not isinstance(values, dict):
            raise ConfigError(f"[{name}] must be a table of key = value.")
        config = replace(config, **{name: _section(name, sections[name], values)})
    _check(config)
    return config


def as_toml(config: TrainConfig, comment: str = "") -> str:
    """All sections and keys, after `comment`. `load_config` reads it back to an equal configuration."""
    lines = [f"# {line}" for line in comment.splitlines()]
    for section, values in config.as_dict().items():
        # TOML writes strings and booleans as JSON does; repr keeps every digit of a float.
        pairs = ((key, repr(value) if isinstance(value, float) else json.dumps(value)) for key, value in values.items())
        lines += ["", f"[{section}]", *(f"{key} = {value}" for key, value in pairs)]
    return "\n".join(lines).lstrip("\n") + "\n"


def _section(name: str, defaults: Any, values: dict[str, Any]) -> Any:
    types = get_type_hints(type(defaults))
    typed: dict[str, Any] = {}
    for key, value in values.items():
        if key not in types:
            raise ConfigError(f"Unknown key {name}.{key}; known: {', '.join(types)}.")
        typed[key] = _typed(f"{name}.{key}", types[key], value)
    return replace(defaults, **typed)


def _typed(label: str, wanted: Any, value: Any) -> Any:
    if get_origin(wanted) is Literal:
        if value not in get_args(wanted):
            raise ConfigError(f"{label} = {value!r} is not one of {', '.join(map(repr, get_args(wanted)))}.")
        return value
    if wanted is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type(value) is not wanted:
        raise ConfigError(f"{label} = {value!r} must be of type {wanted.__name__}.")
    return value


_AT_LEAST = {
    "data.image_size_px": 32,
    "augment.gamma": 1,  # the largest exponent
    "loss.source_alignment": 0,
    "optimiser.batch_size": 2,  # BatchNorm needs two films
    "optimiser.accumulation_steps": 1,
    "schedule.epochs": 1,
    "schedule.cycle_epochs": 1,
    "schedule.cycle_growth": 1,
}
_SHARES = ("data.source_flattening", "loss.distillation", *(f"augment.{name}" for name in AUGMENT_PROBABILITIES))


def _check(config: TrainConfig) -> None:
    data, model, augment, loss = config.data, config.model, config.augment, config.loss
    mixes, schedule = augment.mixup_alpha or augment.cutmix_alpha, config.schedule
    rules = [
        *((_value(config, name) >= least, f"{name} must be at least {least}") for name, least in _AT_LEAST.items()),
        *((0 <= _value(config, name) <= 1, f"{name} must lie in 0..1") for name in _SHARES),
        (0 <= model.dropout < 1, "model.dropout must lie in 0..1, without 1"),
        (0 <= loss.label_smoothing < 1, "loss.label_smoothing must lie in 0..1, without 1"),
        (0 < config.averaging.decay < 1, "averaging.decay must lie between 0 and 1"),
        (config.optimiser.learning_rate > 0, "optimiser.learning_rate must be positive"),
        (augment.resize_px >= data.image_size_px, "augment.resize_px must be at least data.image_size_px"),
        (not (augment.mixup_alpha and augment.cutmix_alpha), "augment.mixup_alpha and cutmix_alpha exclude each other"),
        (
            model.weights not in ("file", "bundle", "checkpoint") or bool(model.weights_file),
            f'model.weights = "{model.weights}" needs model.weights_file',
        ),
        (
            not (loss.source_alignment and mixes),
            "loss.source_alignment needs films of one class each; leave out augment.mixup_alpha and cutmix_alpha",
        ),
        (
            not loss.distillation or model.weights in ("bundle", "checkpoint"),
            'loss.distillation needs a network that knows the findings: model.weights = "bundle" or "checkpoint"',
        ),
        (
            bool(data.lungs) or not (augment.surroundings or augment.hollow),
            "augment.surroundings and augment.hollow need data.lungs, the graph of a lung segmenter",
        ),
        (augment.surroundings + augment.hollow <= 1, "augment.surroundings and augment.hollow must not exceed 1 together"),
        (0 <= schedule.small_epochs < schedule.epochs, "schedule.small_epochs must lie in 0..schedule.epochs - 1"),
        (
            32 <= schedule.small_side_px <= data.image_size_px or not schedule.small_epochs,
            "schedule.small_side_px must lie in 32..data.image_size_px",
        ),
    ]
    for holds, complaint in rules:
        if not holds:
            raise ConfigError(f"{complaint}.")


def _value(config: TrainConfig, name: str) -> Any:
    section, _, key = name.partition(".")
    return getattr(getattr(config, section), key)
