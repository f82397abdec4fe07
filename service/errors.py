"""What can go wrong around a film: settings, requests, access, and a service that cannot answer now.

`service.http.problems` maps input errors and service errors to status codes.
"""

from service.film.errors import ChestXrayError, InputError


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


class SettingsError(ChestXrayError):
    """A setting or an option of a command is unknown, contradicts another, or is out of range."""
