"""What can go wrong in training and export. Each message names the thing, the fault and the remedy."""

from service.film.errors import ChestXrayError


class ExportError(ChestXrayError):
    """A checkpoint could not be turned into a bundle."""


class ParityFailed(ExportError):
    """ONNX Runtime and PyTorch disagree by more than the tolerance."""


class CheckpointInvalid(ExportError):
    """The checkpoint lacks what section 7.2 of the report lists, or cannot be loaded safely."""


class DatasetError(ChestXrayError):
    """The data folder cannot be trained on."""


class DatasetNotFound(DatasetError):
    """The folder, one of its splits, or its manifest is missing."""


class EmptyClass(DatasetError):
    """A split has no usable image of one class."""


class SplitLeakage(DatasetError):
    """The same patient, group or picture is in two splits."""


class ConfigError(ChestXrayError):
    """A value of the training configuration is unknown or out of range."""


class TrainingDiverged(ChestXrayError):
    """The loss is no longer a number; training on would only spoil the checkpoints."""


class StepFailed(ChestXrayError):
    """A step of a retraining ended with a fault of its own."""


class WeightsUnavailable(ChestXrayError):
    """Pretrained weights could not be had."""
