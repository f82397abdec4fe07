"""Errors of training and export. Each message names the thing, the fault and the remedy."""

from service.film.errors import ChestXrayError


class ExportError(ChestXrayError):
    """A checkpoint could not be turned into a bundle."""


class ParityFailed(ExportError):
    """ONNX Runtime and PyTorch disagree by more than the tolerance."""


class CheckpointInvalid(ExportError):
    """The checkpoint lacks a key of REPORT 7.2, or cannot be loaded safely."""


class NotCommissioned(ExportError):
    """A release has no profile for a site, and the release served there now has one."""


class DatasetError(ChestXrayError):
    """The data folder cannot be trained on."""


class DatasetNotFound(DatasetError):
    """The folder, one of its splits, or its manifest is missing."""


class EmptyClass(DatasetError):
    """A split has no usable image of one class."""


class SplitLeakage(DatasetError):
    """The same patient, group or film is in two splits."""


class ConfigError(ChestXrayError):
    """A value of the training configuration is unknown or out of range."""


class TrainingDiverged(ChestXrayError):
    """The loss is not finite; further training would spoil the checkpoints."""


class CommissioningError(ChestXrayError):
    """A site's films cannot be used for commissioning."""


class TooFewFilms(CommissioningError):
    """A class has films, but too few to fit or to judge anything."""


class StepFailed(ChestXrayError):
    """A step that runs in a process of its own has failed."""


class WeightsUnavailable(ChestXrayError):
    """Pretrained weights cannot be loaded or do not fit."""
