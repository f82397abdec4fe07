"""TrainConfig <-> TOML. An unknown section or key, a wrong type and an impossible value raise ConfigError."""

import json
import tomllib
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from training.config import TrainConfig
from training.errors import ConfigError

_ADAPTER = TypeAdapter(TrainConfig)


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
    try:
        # As JSON, since pydantic's strict mode takes no dict for a dataclass.
        config = _ADAPTER.validate_json(json.dumps(document, default=str))
    except ValidationError as fault:
        first = fault.errors()[0]
        name = ".".join(map(str, first["loc"]))
        if first["type"] == "unexpected_keyword_argument":
            raise ConfigError(f"There is no setting {name}; training/config.py lists all.") from fault
        raise ConfigError(f"{name} = {first['input']!r}: {first['msg']}.") from fault
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


def _check(config: TrainConfig) -> None:
    data, model, augment, loss = config.data, config.model, config.augment, config.loss
    mixes, schedule = augment.mixup_alpha or augment.cutmix_alpha, config.schedule
    rules = [
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
            'loss.distillation needs initial weights that predict the findings: model.weights = "bundle" or "checkpoint"',
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
