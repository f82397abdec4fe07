"""The middleware that every HTTP request passes, from the outside in."""

from starlette.types import ASGIApp, Receive, Scope, Send

from service.http.context import ServiceContext
from service.http.middleware.admission import AdmissionMiddleware
from service.http.middleware.headers import HeadersMiddleware
from service.http.middleware.problems import ProblemMiddleware
from service.http.middleware.recording import RecordingMiddleware
from service.http.middleware.request_id import RequestIdMiddleware


class MiddlewareStack:
    """Request id, headers, problems, recording, admission, application. Messages of the server's life cycle pass by."""

    def __init__(self, app: ASGIApp, context: ServiceContext) -> None:
        self._app = app
        admission = AdmissionMiddleware(app, context)
        recording = RecordingMiddleware(admission, context)
        self._http = RequestIdMiddleware(HeadersMiddleware(ProblemMiddleware(recording), context))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI entry."""
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "websocket":  # not supported, and the access policy judges HTTP requests only
            await send({"type": "websocket.close"})
        else:
            await self._app(scope, receive, send)
