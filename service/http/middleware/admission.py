"""Asks the access policy before anything else of a request is looked at, its body least of all."""

import asyncio
from http import HTTPStatus

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from service.access.roles import PUBLIC_FOLDERS, UNKNOWN_ENDPOINT, endpoint_of
from service.errors import Overloaded
from service.http.call import current_call
from service.http.pace import RefusalPace
from service.http.problems import problem_of
from service.http.running import running_service

_FILMS = frozenset({"/predict", "/predict/batch", "/predict/explain"})

# A film of some megabytes comes in less, in a hospital's network.
_SENDING_SECONDS = 1.0


class AdmissionMiddleware:
    """Refuses who may not call; who called is told to the audit row, refused or not."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._pace = RefusalPace()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI entry."""
        if scope["type"] == "websocket":  # nothing here speaks it, and the policy judges requests only
            await send({"type": "websocket.close"})
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        call = current_call()
        peer = scope["client"][0] if scope.get("client") else None
        service = running_service()
        headers = Headers(scope=scope)
        forwarded_for = ",".join(headers.getlist("x-forwarded-for"))
        # Lines of one name are one list (RFC 9110, 5.3): of two keys neither counts, rather than the first or the last.
        credentials = {name: ", ".join(headers.getlist(name)) for name in ("x-api-key", "authorization")}
        admission = await service.access.admit(scope["path"], credentials, peer, forwarded_for)
        call.caller, call.address = admission.caller, admission.address
        call.needs_row &= admission.is_recorded
        refusal = admission.refusal
        endpoint = endpoint_of(scope["path"])
        if refusal is None and endpoint == UNKNOWN_ENDPOINT:
            # Not left to the router: what it takes for one of our routes, and the policy does not, would be open to every role.
            await Response(status_code=HTTPStatus.NOT_FOUND)(scope, receive, send)
            return
        if endpoint not in PUBLIC_FOLDERS:
            # The router gets the path that the policy judged. Of one with a slash too many it would make a redirect to http,
            # behind a proxy that ends TLS, and the film and the key would follow in clear text.
            scope = {**scope, "path": endpoint, "raw_path": endpoint.encode("ascii")}
        if refusal is None and endpoint in _FILMS:
            # Here, where a refusal costs least: a full service has no time to spare for films that it will not look at.
            try:
                call.place = service.reserve_place()
            except Overloaded as full:
                refusal = full
                await self._pace.wait()
        if refusal is not None:
            await problem_of(refusal).response()(scope, receive, send)
            return
        if call.place is None:
            await self._app(scope, receive, send)
            return
        # Who sends slowly keeps nobody out, and finds room, or none, when the film has come.
        asyncio.get_running_loop().call_later(_SENDING_SECONDS, call.place.give_back)
        try:
            await self._app(scope, receive, send)
        finally:
            call.place.give_back()
