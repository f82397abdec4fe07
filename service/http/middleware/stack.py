"""The middleware that every HTTP request passes, from the outside in."""

from starlette.types import ASGIApp, Receive, Scope, Send

from service.http.context import ServiceContext
from service.http.middleware.admission import AdmissionMiddleware
from service.http.middleware.headers import HeadersMiddleware
from service.http.middleware.problems import ProblemMiddleware
from service.http.middleware.recording import RecordingMiddleware


class MiddlewareStack:
    """Headers, problems, recording, admission, application. Life-cycle messages of ASGI go to the application directly.

    Web sockets never come here: `connections.Connection` ignores the offer of one.
    """

    def __init__(self, app: ASGIApp, context: ServiceContext) -> None:
        self._app = app
        admission = AdmissionMiddleware(app, context)
        recording = RecordingMiddleware(admission, context)
        self._http = HeadersMiddleware(ProblemMiddleware(recording), context)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI entry."""
        app = self._http if scope["type"] == "http" else self._app
        await app(scope, receive, send)
