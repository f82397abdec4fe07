"""Begins the call of each request with an identifier, which the answer carries as X-Request-ID."""

import re
import uuid

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.access.roles import endpoint_of, required_roles
from service.http.call import Call, begin_call

HEADER = "X-Request-ID"

# Safe in logs, file names and headers. Other values of clients are replaced, not corrected.
_VALID = re.compile(r"[A-Za-z0-9._-]{1,128}")


class RequestIdMiddleware:
    """Uses the client's X-Request-ID if it is valid, else a new UUID 4."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI entry."""
        sent = Headers(scope=scope).get(HEADER, "")
        request_id = sent if _VALID.fullmatch(sent) else str(uuid.uuid4())
        path = scope["path"]
        begin_call(Call(request_id, scope["method"], endpoint_of(path), needs_row=required_roles(path) is not None))

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[HEADER] = request_id
            await send(message)

        await self._app(scope, receive, send_with_id)
