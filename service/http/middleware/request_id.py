"""Gives every request an identifier, which its answer carries as X-Request-ID."""

import re
import uuid
from contextvars import ContextVar

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADER = "X-Request-ID"

# Safe in logs, file names and headers. Other values of clients are replaced, not corrected.
_VALID = re.compile(r"[A-Za-z0-9._-]{1,128}")

_current: ContextVar[str] = ContextVar("request_id")


def current_request_id() -> str:
    """The identifier of the request being answered. Raises LookupError outside one."""
    return _current.get()


class RequestIdMiddleware:
    """Uses the client's X-Request-ID if it is valid, else a new UUID 4."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI entry."""
        sent = Headers(scope=scope).get(HEADER, "")
        request_id = sent if _VALID.fullmatch(sent) else str(uuid.uuid4())
        _current.set(request_id)

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[HEADER] = request_id
            await send(message)

        await self._app(scope, receive, send_with_id)
