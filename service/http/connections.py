"""HTTP connections: uvicorn's, with limits for idle time and request heads, and with answers on half-closed connections."""

import asyncio
import functools
import json
import uuid
from http import HTTPStatus
from typing import Any

import httptools
import uvicorn.config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from service.http.call import REQUEST_ID_HEADER
from service.http.context import ServiceContext
from service.http.problems import MEDIA_TYPE, Problem

# More than any token takes. The parser itself has no limit.
MAX_HEAD_BYTES = 64 * 1024

# How long a server that is shutting down still takes a request on an idle connection: one may be on its way.
_LAST_REQUEST_SECONDS = 1.0


class _HeadTooLong(Exception):
    """Raised in a callback, to stop the parser."""


class Connection(HttpToolsProtocol):
    """uvicorn's connection with limits that it lacks.

    A connection is closed if a request's head takes longer than `head_timeout_seconds` (from its first byte, or from the start
    of the connection), if a head exceeds MAX_HEAD_BYTES, or after `keep_alive_seconds` without a request.
    """

    def __init__(self, context: ServiceContext, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.timeout_keep_alive = context.settings.keep_alive_seconds
        self._head_seconds = context.settings.head_timeout_seconds
        self._is_in_head = self._is_last = self._is_ending = False
        self._head_bytes = 0
        self._head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Under TLS this comes after the handshake, for which the event loop allows a minute."""
        super().connection_made(transport)
        self._start_head_timer()

    def data_received(self, data: bytes) -> None:
        """Called by the event loop. Bytes that arrive between requests are of a head, or the rest of a refused body."""
        if self.transport.is_closing():
            return
        if self._is_idle():
            self._start_head_timer()
        self._unset_keepalive_if_required()
        while data:  # no recursion: one packet may hold thousands of requests that offer an upgrade
            data = self._read(data)

    def _read(self, data: bytes) -> bytes:
        """Parse the data. Returns what to parse again: a request without its offer of another protocol; else nothing."""
        was_in_head = self._is_in_head
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            if self._ignores_upgrade():
                return self._without_upgrade(data[upgrade.args[0] :])
        except httptools.HttpParserError as fault:
            if isinstance(fault.__context__, _HeadTooLong):
                self._refuse_long_head()
            else:
                self._refuse(HTTPStatus.BAD_REQUEST, "The request is not valid HTTP/1.1 (RFC 9112).")
        if was_in_head and self._is_in_head:  # leaves out the first bytes of a head that begins in the packet of a body
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self._refuse_long_head()
        return b""

    def on_message_begin(self) -> None:
        """Called by the parser."""
        self._is_in_head, self._head_bytes = True, 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Called by the parser."""
        self._is_in_head = False
        self._stop_head_timer()
        if self._ignores_upgrade():
            return
        if len(self.url) + sum(len(name) + len(value) for name, value in self.headers) > MAX_HEAD_BYTES:
            raise _HeadTooLong
        super().on_headers_complete()
        # Keep the connection until the body is read. Closing earlier would reset it under a client that is still sending, which
        # would lose the answer (RFC 9112, 9.6).
        self._is_last, self.cycle.keep_alive = self._is_ending or not self.cycle.keep_alive, True
        if self.parser.get_method() == b"CONNECT":  # not supported: what follows is neither a body nor another request
            self.cycle.keep_alive = False

    def on_message_complete(self) -> None:
        """Called by the parser."""
        if self._ignores_upgrade():
            return
        super().on_message_complete()
        if self._is_last:
            self.cycle.keep_alive = False
            if self.cycle.response_complete:
                self.transport.close()

    def on_response_complete(self) -> None:
        """Called when the whole answer is sent."""
        super().on_response_complete()
        if self._is_last and self.cycle.more_body and self._is_idle():
            self._linger()
        if self._is_in_head and self._is_idle():  # begun behind a request
            self._start_head_timer()

    def eof_received(self) -> bool:  # type: ignore[override]
        """Whether to keep the connection open for an answer: the client has closed its side only.

        Under TLS the event loop closes the connection in any case.
        """
        if self._is_idle() or self.cycle.more_body:
            return False
        self.cycle.keep_alive = False  # the cycle of the last request: close after its answer
        return True

    def shutdown(self) -> None:
        """Called when the server ends. The last answer says `connection: close`, so that the client sends no more."""
        self._is_ending = True
        if self._is_idle() or self.cycle.response_started:  # the last answer did not say so
            self.loop.call_later(_LAST_REQUEST_SECONDS, self._close_when_idle)
        else:
            self.cycle.keep_alive = False

    def _close_when_idle(self) -> None:
        if self._is_idle():
            self.transport.close()
        else:
            self.cycle.keep_alive = False

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the event loop."""
        self._stop_head_timer()
        super().connection_lost(exc)

    def _is_idle(self) -> bool:
        """Whether all requests received are answered."""
        return self.cycle is None or (self.cycle.response_complete and not self.pipeline)

    def _ignores_upgrade(self) -> bool:
        """Whether the client offers to change the protocol (RFC 9110, 7.8), as Java's offers h2c. Offers are ignored."""
        return self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT"

    def _should_upgrade(self) -> bool:
        """Never: uvicorn would hand a web socket to another class, without these limits, access control and records."""
        return False

    def _without_upgrade(self, rest: bytes) -> bytes:
        """The request without the offer, and a new parser for it: the old one would take the body for the new protocol's."""
        start = b"%s %s HTTP/%s" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode("ascii"))
        fields = [b"%s: %s" % field for field in self.headers if field[0] != b"upgrade"]
        self.parser = httptools.HttpRequestParser(self)
        return b"\r\n".join([start, *fields, b"", rest])

    def _linger(self) -> None:
        """Close this side only: the client can finish sending its body, which is discarded, and then closes."""
        if not self.transport.can_write_eof():  # under TLS
            self.transport.close()
            return
        self.transport.write_eof()
        self._start_head_timer()

    def _start_head_timer(self) -> None:
        """Start the timer, unless it runs already."""
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(self._head_seconds, self._head_is_late)

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _head_is_late(self) -> None:
        if self._is_in_head:
            detail = f"The request's head did not arrive within {self._head_seconds} s; send it again."
            self._refuse(HTTPStatus.REQUEST_TIMEOUT, detail)
        else:  # no request: a connection opened in advance, as browsers do, or the rest of a refused body
            self.transport.close()

    def _refuse_long_head(self) -> None:
        self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, f"The request's head is over {MAX_HEAD_BYTES} bytes.")

    def _refuse(self, status: HTTPStatus, detail: str) -> None:
        """Answer a head that cannot be read, and close the connection.

        While earlier requests await their answers, this head gets none: clients match answers to requests by their order
        (RFC 9112, 9.3.2).
        """
        self._is_in_head = False
        if not self._is_idle() and not self.cycle.more_body:
            self.cycle.keep_alive = False
            return
        request_id = str(uuid.uuid4())
        content = json.dumps(Problem(status, detail).members(request_id)).encode()
        head = (
            f"content-type: {MEDIA_TYPE}\r\ncontent-length: {len(content)}\r\nconnection: close\r\n"
            f"{REQUEST_ID_HEADER}: {request_id}\r\n\r\n"
        )
        self.transport.write(STATUS_LINE[status] + head.encode("ascii") + content)
        self.transport.close()


def use_for_connections(context: ServiceContext) -> None:
    """Make uvicorn use this class, whoever starts it; BentoML has no option for that."""
    uvicorn.config.HTTP_PROTOCOLS["auto"] = functools.partial(Connection, context)  # type: ignore[assignment]
