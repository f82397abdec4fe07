"""Asks the access policy before anything else of a request is looked at, its body least of all."""

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from service.http.call import current_call
from service.http.problems import problem_of
from service.http.running import running_service


class AdmissionMiddleware:
    """Refuses who may not call; who called is told to the audit row, refused or not."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI entry."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        call = current_call()
        peer = scope["client"][0] if scope.get("client") else None
        admission = await running_service().access.admit(scope["path"], Headers(scope=scope), peer)
        call.caller, call.address = admission.caller, admission.address
        answer = self._app if admission.refusal is None else problem_of(admission.refusal).response()
        await answer(scope, receive, send)
