"""Gives every error answer the problem details of RFC 9457."""

import logging
from http import HTTPStatus

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.access.roles import nearest_endpoint
from service.http.problems import HEALTH_MEDIA_TYPE, MEDIA_TYPE, Problem

logger = logging.getLogger(__name__)


class ProblemMiddleware:
    """Replaces the body of every error answer that is not problem details already; an unexpected exception becomes a 500."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI entry."""
        started = False
        replacement: Response | None = None

        async def send_normalised(message: Message) -> None:
            nonlocal started, replacement
            if message["type"] == "http.response.start":
                started = True
                replacement = _replacement(scope, message)
            if replacement is None:
                await send(message)
            elif message["type"] == "http.response.body" and not message.get("more_body", False):
                await replacement(scope, receive, send)

        try:
            await self._app(scope, receive, send_normalised)
        except Exception:
            logger.exception("%s %s failed", scope["method"], scope["path"])
            if started:
                raise
            await _plain_problem(HTTPStatus.INTERNAL_SERVER_ERROR, scope).response()(scope, receive, send)


# They describe the body that is replaced; the other headers are kept.
_HEADERS_OF_BODY = ("content-length", "content-type", "content-encoding")


def _replacement(scope: Scope, start: Message) -> Response | None:
    headers = Headers(raw=start["headers"])
    media_type = headers.get("content-type", "").partition(";")[0]
    if start["status"] < 400 or media_type in (MEDIA_TYPE, HEALTH_MEDIA_TYPE):
        return None
    status = HTTPStatus(start["status"])
    kept = {name: value for name, value in headers.items() if name not in _HEADERS_OF_BODY}
    if status is HTTPStatus.METHOD_NOT_ALLOWED:
        # RFC 9110, 15.5.6: a 405 names the methods. Starlette's static files omit them, and allow GET and HEAD.
        kept["allow"] = ", ".join(sorted(headers.get("allow", "GET, HEAD").split(", ")))
    response = _plain_problem(status, scope, kept.get("allow", "")).response()
    response.headers.update(kept)
    return response


def _plain_problem(status: HTTPStatus, scope: Scope, allowed: str = "") -> Problem:
    """allowed: methods of the path, as in the header Allow."""
    match status:
        case HTTPStatus.NOT_FOUND:
            nearest = nearest_endpoint(scope["path"])
            hint = f"; did you mean {nearest}?" if nearest else "."
            detail = f"There is nothing at this path{hint} /docs lists all paths."
        case HTTPStatus.METHOD_NOT_ALLOWED:
            detail = f"This path answers {allowed}, not {scope['method']}; /docs lists all paths."
        case HTTPStatus.SERVICE_UNAVAILABLE:
            detail = "The service is not ready; /health says why."
        case HTTPStatus.INTERNAL_SERVER_ERROR:
            detail = "Internal error; the log has the details under this request_id."
        case _:
            detail = f"{status.description or status.phrase}."
    return Problem(status, detail)
