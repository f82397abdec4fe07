"""Asks the access policy and the capacity before a request's body is read."""

from http import HTTPStatus

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from service.access.roles import PUBLIC_FOLDERS, UNKNOWN_ENDPOINT
from service.errors import Overloaded
from service.http.call import current_call
from service.http.context import ServiceContext
from service.http.problems import problem_of

_FILM_ENDPOINTS = frozenset({"/predict", "/predict/batch", "/predict/explain"})


class AdmissionMiddleware:
    """Refuses callers without access, unknown paths, and films for which there is no room; notes who called."""

    def __init__(self, app: ASGIApp, context: ServiceContext) -> None:
        self._app = app
        self._context = context

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI entry."""
        call = current_call()
        peer = scope["client"][0] if scope.get("client") else None
        headers = Headers(scope=scope)
        forwarded_for = ",".join(headers.getlist("x-forwarded-for"))
        # Repeated lines of one field are one list (RFC 9110, 5.3), so two keys are one invalid key; neither is preferred.
        credentials = {name: ", ".join(headers.getlist(name)) for name in ("x-api-key", "authorization")}
        admission = await self._context.access.admit(scope["path"], credentials, peer, forwarded_for)
        call.caller, call.address = admission.caller, admission.address
        call.needs_row &= admission.is_recorded
        if admission.refusal is not None:
            await problem_of(admission.refusal).response()(scope, receive, send)
            return
        endpoint = call.endpoint
        if endpoint == UNKNOWN_ENDPOINT:
            # Not left to the router: a path that it knows, and the policy does not, would be open to every role.
            await Response(status_code=HTTPStatus.NOT_FOUND)(scope, receive, send)
            return
        if endpoint not in PUBLIC_FOLDERS:
            # Route the path that the policy judged. The router would redirect one with a trailing slash, behind a proxy that
            # ends TLS to an http:// URL, and the client would send the film and the key again in clear text.
            scope = {**scope, "path": endpoint, "raw_path": endpoint.encode("ascii")}
        if endpoint not in _FILM_ENDPOINTS:
            await self._app(scope, receive, send)
            return
        try:
            # Before the body is read, where a refusal costs least.
            call.reservation = await self._context.capacity.reserve()
        except Overloaded as full:
            await problem_of(full).response()(scope, receive, send)
            return
        try:
            await self._app(scope, receive, send)
        finally:
            call.reservation.release()
