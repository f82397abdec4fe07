"""Errors of requests, access, settings, and of a service that cannot answer now.

`service.http.problems` maps input errors and service errors to status codes.
"""

from service.film.errors import ChestXrayError, InputError


class MalformedRequest(InputError):
    """The request is not as the endpoint expects it."""


class UploadTooLarge(InputError):
    """The body exceeds the configured limit; refused while reading."""


class NotAuthenticated(InputError):
    """API key or token missing, wrong, expired or revoked."""


class AccessDenied(InputError):
    """The caller's role may not call this endpoint, or the address is not in a network that may."""


class PredictionNotFound(InputError):
    """There is no record of this prediction, or no longer."""


class RateLimited(InputError):
    """The caller exceeds the rate limit.

    retry_after_seconds: time until the next request is accepted.
    """

    def __init__(self, message: str, retry_after_seconds: int = 1) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class ServiceError(ChestXrayError):
    """The service cannot answer now; the same request may succeed later."""


class Overloaded(ServiceError):
    """The queue, or the memory for bodies, is full."""


class OutOfTime(ServiceError):
    """The request took longer than the configured time."""


class ModelUnavailable(ServiceError):
    """No trusted model is loaded."""


class RecordsUnavailable(ServiceError):
    """The database of predictions and audit rows is out of reach; without an audit row no answer is given."""


class IssuerUnavailable(ServiceError):
    """The keys of the token issuer cannot be read, so tokens cannot be verified."""


class ReloadInProgress(ServiceError):
    """Another reload is in progress."""


class DecoderFailed(ServiceError):
    """The process that decodes costly films cannot be started. A film that crashes it is an UnreadableImage."""


class SettingsError(ChestXrayError):
    """A setting or an option of a command is unknown, contradicts another, or is out of range."""
