"""Begins the call of each request, adds its identifier and security headers to the answer, and handles CORS."""

from http import HTTPStatus

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.http.call import REQUEST_ID_HEADER, begin_call
from service.http.context import ServiceContext
from service.http.middleware.recording import PREDICTION_ID_HEADER
from service.http.problems import Problem

RawHeaders = tuple[tuple[bytes, bytes], ...]


def _headers(cache_control: bytes, content_security_policy: bytes) -> RawHeaders:
    return (
        (b"x-content-type-options", b"nosniff"),
        (b"referrer-policy", b"no-referrer"),
        (b"x-frame-options", b"DENY"),
        (b"cache-control", cache_control),
        (b"content-security-policy", content_security_policy),
    )


# Answers are about patients: no browser and no proxy may store them.
_ANSWER = _headers(b"no-store", b"default-src 'none'; frame-ancestors 'none'")

_PAGE = _headers(
    b"no-cache",
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    b"form-action 'none'; base-uri 'none'; frame-ancestors 'none'",
)

# Swagger UI sets styles inline.
_DOCS = _headers(
    b"no-cache",
    b"default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    b"connect-src 'self'; base-uri 'none'; frame-ancestors 'none'",
)

# RFC 6797: after this, browsers use TLS only. They ignore it on connections without TLS.
_UNDER_TLS: RawHeaders = ((b"strict-transport-security", b"max-age=31536000"),)

_CROSS_ORIGIN_METHODS = ("GET", "POST")
_CROSS_ORIGIN_HEADERS = ("Authorization", "Content-Type", "X-API-Key", REQUEST_ID_HEADER)


class HeadersMiddleware:
    """Begins the call, adds headers to its answer, and handles CORS if the settings name origins."""

    def __init__(self, app: ASGIApp, context: ServiceContext) -> None:
        self._inner = app
        self._context = context
        self._app: ASGIApp | None = None  # built by the first request: before the worker has started, there are no settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI entry."""
        if self._app is None:
            self._app = _with_cors(self._inner, self._context.settings.cors_origins)
        request_id = begin_call(scope).request_id
        headers = (*_headers_of(scope["path"]), (b"x-request-id", request_id.encode("ascii")))
        if scope.get("scheme") == "https":
            headers += _UNDER_TLS

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *headers]
            await send(message)

        await self._app(scope, receive, send_with_headers)


def _headers_of(path: str) -> RawHeaders:
    if path == "/" or path.startswith("/ui/"):
        return _PAGE
    return _DOCS if path == "/docs" or path.startswith("/static_content/") else _ANSWER


def _with_cors(app: ASGIApp, origins: tuple[str, ...]) -> ASGIApp:
    if not origins:
        return app
    return _CrossOrigin(
        app,
        allow_origins=origins,
        allow_methods=_CROSS_ORIGIN_METHODS,
        allow_headers=_CROSS_ORIGIN_HEADERS,
        expose_headers=(REQUEST_ID_HEADER, PREDICTION_ID_HEADER, "Retry-After"),
    )


class _CrossOrigin(CORSMiddleware):
    """Starlette's CORS middleware, with problem details in place of its plain text."""

    def preflight_response(self, request_headers: Headers) -> Response:
        """Answer a browser that asks whether a page may send its request."""
        answer = super().preflight_response(request_headers)
        if answer.status_code < HTTPStatus.BAD_REQUEST:
            return answer
        detail = (
            f"Pages may call from the origins that CXR_CORS_ORIGINS names, with {' and '.join(_CROSS_ORIGIN_METHODS)} and the "
            f"headers {', '.join(_CROSS_ORIGIN_HEADERS)}; this one asks for something else."
        )
        refusal = Problem(HTTPStatus.BAD_REQUEST, detail).response()
        refusal.headers.update({name: value for name, value in answer.headers.items() if not name.startswith("content-")})
        return refusal
