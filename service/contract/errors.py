"""The error tree of the whole project. Free of HTTP: `service.http.problems` maps input errors to status codes.

Each message names the thing, the fault and the remedy, and never contains pixel data or patient tags.
"""

import re


def kebab_case(class_name: str) -> str:
    """ImageTooSmall -> image-too-small, as answers, metrics and tables name kinds of errors."""
    return re.sub(r"(?<!^)(?=[A-Z])", "-", class_name).lower()


class ChestXrayError(Exception):
    """Root of every error that this project raises on purpose."""


class InputError(ChestXrayError):
    """The bytes that a caller sent cannot be judged; the caller can mend it."""


class UnsupportedFormat(InputError):
    """The bytes are not one of the image formats we read."""


class UnreadableImage(InputError):
    """The format is known, but the file is damaged or truncated."""


class UnsupportedDicom(InputError):
    """A DICOM file that we read but will not judge: multi-frame, colour, no pixels, or an unsupported transfer syntax."""


class UnsupportedImage(InputError):
    """An image that is intact but not a single grey film: several frames or pages, or an exotic pixel type."""


class ImageTooSmall(InputError):
    """Below the shortest side that the model was trained on."""


class ImageTooLarge(InputError):
    """More pixels than the configured limit; refused before decoding."""


class AspectRatioTooExtreme(InputError):
    """Longer than the aspect-ratio limit: squeezing it to the model's square would distort anatomy."""


class UnknownOperatingPoint(InputError):
    """The operating point is not one of those in the bundle's manifest."""


class UnknownFinding(InputError):
    """The target class is not one of the model's findings."""


class MalformedRequest(InputError):
    """The request does not have the shape that the endpoint reads."""


class UploadTooLarge(InputError):
    """More bytes than the configured limit; refused while reading."""


class NotAuthenticated(InputError):
    """The request names no caller that we know: no key or token, or one that is wrong, expired or revoked."""


class AccessDenied(InputError):
    """The caller is known, and its role does not include this; or its address is not on the allow list."""


class PredictionNotFound(InputError):
    """No prediction with this request identifier is on record (any more)."""


class RateLimited(InputError):
    """More requests than the caller may make in this time.

    retry_after_seconds: when the next one will be answered.
    """

    def __init__(self, message: str, retry_after_seconds: int = 1) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class ServiceError(ChestXrayError):
    """The service cannot answer now; the same request may succeed later."""


class Overloaded(ServiceError):
    """The queue is full."""


class OutOfTime(ServiceError):
    """The request was not finished within the configured time."""


class ModelUnavailable(ServiceError):
    """No trusted model is loaded."""


class RecordsUnavailable(ServiceError):
    """The database of predictions and audit rows cannot be written or read; without its audit row no answer is given."""


class IssuerUnavailable(ServiceError):
    """The token issuer's keys cannot be read, so that nobody can say whether a token is good."""


class ReloadInProgress(ServiceError):
    """Another model is being loaded at this moment."""


class DecoderFailed(ServiceError):
    """The process that decodes costly films could not be started; a film that kills it is an UnreadableImage instead."""


class BundleError(ChestXrayError):
    """The model bundle cannot be trusted."""


class BundleNotFound(BundleError):
    """No bundle at the given path or store tag."""


class ManifestInvalid(BundleError):
    """The manifest is missing, malformed, or of a schema version that this code does not read."""


class HashMismatch(BundleError):
    """A file of the bundle differs from the SHA-256 in its manifest."""


class GoldenMismatch(BundleError):
    """The runtime does not reproduce the outputs recorded at export."""


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
    """A configuration value is unknown or out of range."""


class TrainingDiverged(ChestXrayError):
    """The loss is no longer a number; training on would only spoil the checkpoints."""


class StepFailed(ChestXrayError):
    """A step of a retraining ended with a fault of its own."""


class WeightsUnavailable(ChestXrayError):
    """Pretrained weights could not be had."""
