"""Errors as RFC 9457 problem details, and the table from error class to status code."""

import json
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from starlette.responses import Response

from service import errors
from service.film import errors as film_errors
from service.film.errors import ChestXrayError, kebab_case
from service.http.call import current_call
from service.model.errors import UnknownFinding, UnknownOperatingPoint

MEDIA_TYPE = "application/problem+json"

# Of /health when it reports a fault of the service: no error of the request, so no problem details.
HEALTH_MEDIA_TYPE = "application/health+json"

STATUS_OF: dict[type[ChestXrayError], HTTPStatus] = {
    errors.MalformedRequest: HTTPStatus.BAD_REQUEST,
    film_errors.UnreadableImage: HTTPStatus.BAD_REQUEST,
    UnknownOperatingPoint: HTTPStatus.BAD_REQUEST,
    UnknownFinding: HTTPStatus.BAD_REQUEST,
    errors.NotAuthenticated: HTTPStatus.UNAUTHORIZED,
    errors.AccessDenied: HTTPStatus.FORBIDDEN,
    errors.PredictionNotFound: HTTPStatus.NOT_FOUND,
    errors.UploadTooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    film_errors.ImageTooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    film_errors.UnsupportedFormat: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    film_errors.UnsupportedImage: HTTPStatus.UNPROCESSABLE_ENTITY,
    film_errors.UnsupportedDicom: HTTPStatus.UNPROCESSABLE_ENTITY,
    film_errors.ImageTooSmall: HTTPStatus.UNPROCESSABLE_ENTITY,
    film_errors.AspectRatioTooExtreme: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.RateLimited: HTTPStatus.TOO_MANY_REQUESTS,
    errors.Overloaded: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.ModelUnavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.RecordsUnavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.IssuerUnavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.ReloadInProgress: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.DecoderFailed: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.OutOfTime: HTTPStatus.GATEWAY_TIMEOUT,
}

# A full queue drains within about a second; a missing model needs an operator.
RETRY_AFTER_SECONDS: dict[type[ChestXrayError], int] = {
    errors.Overloaded: 1,
    errors.RecordsUnavailable: 5,
    errors.IssuerUnavailable: 5,
    errors.ReloadInProgress: 5,
    errors.DecoderFailed: 5,
    errors.ModelUnavailable: 30,
}


@dataclass(frozen=True)
class Problem:
    """One RFC 9457 problem."""

    status: HTTPStatus  # of the answer
    detail: str  # what is wrong, and the remedy
    kind: str | None = None  # such as image-too-small, ends the `type` URN; None if the status says it all
    headers: dict[str, str] = field(default_factory=dict)  # further headers of the answer

    def members(self, request_id: str | None = None) -> dict[str, Any]:
        """The JSON object. request_id: by default that of the request being answered."""
        return {
            "type": f"urn:chest-xray:problem:{self.kind}" if self.kind else "about:blank",
            "title": self.kind.replace("-", " ").capitalize() if self.kind else self.status.phrase,
            "status": self.status.value,
            "detail": self.detail,
            "request_id": request_id or current_call().request_id,
        }

    def response(self) -> Response:
        """The answer. Notes the kind of problem for the audit row."""
        if self.kind:
            current_call().problem = self.kind
        content = json.dumps(self.members(), ensure_ascii=False)
        return Response(content, status_code=self.status.value, media_type=MEDIA_TYPE, headers=self.headers)


def problem_of(error: ChestXrayError) -> Problem:
    """The problem for an error of a class in STATUS_OF. Raises KeyError for others, which are internal errors."""
    kind = type(error)
    retry_after_seconds = error.retry_after_seconds if isinstance(error, errors.RateLimited) else RETRY_AFTER_SECONDS.get(kind)
    # RFC 9110, 11.6.1: a 401 names the way to authenticate.
    challenge = {"WWW-Authenticate": "Bearer"} if kind is errors.NotAuthenticated else {}
    return Problem(
        status=STATUS_OF[kind],
        detail=str(error),
        kind=kebab_case(kind.__name__),
        headers=challenge | ({} if retry_after_seconds is None else {"Retry-After": str(retry_after_seconds)}),
    )
