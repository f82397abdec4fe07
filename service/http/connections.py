"""Connections under uvicorn: how long one may idle or take over a request's head, and half-closed ones get their answer."""

import asyncio
import functools
import json
import uuid
from http import HTTPStatus
from typing import Any

import httptools
import uvicorn.config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from service.http.context import ServiceContext
from service.http.middleware.request_id import HEADER as REQUEST_ID_HEADER
from service.http.problems import MEDIA_TYPE, Problem

# Tokens are 16 KiB at most; the parser itself would take a head of any length.
MAX_HEAD_BYTES = 64 * 1024


class _HeadTooLong(Exception):
    """Raised to the parser, whose error ends the reading."""


class Connection(HttpToolsProtocol):
    """uvicorn's own, with limits that it lacks.

    A connection whose next head is not complete within `head_timeout_seconds` of its first byte, or of the connection, is
    closed; so is one whose head is too long. One that idles between requests is closed after `keep_alive_seconds`.
    """

    def __init__(self, context: ServiceContext, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.timeout_keep_alive = context.settings.keep_alive_seconds
        self._head_seconds = context.settings.head_timeout_seconds
        self._is_in_head = self._is_last = False
        self._head_bytes = 0
        self._head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Under TLS, after the handshake, to which the event loop gives a minute."""
        super().connection_made(transport)
        self._start_head_timer()

    def data_received(self, data: bytes) -> None:
        """Bytes where no request is being answered belong to a head, or to a body that nobody reads any more."""
        if self.transport.is_closing():
            return
        if self._is_idle() and self._head_timer is None:
            self._start_head_timer()
        self._unset_keepalive_if_required()
        while data:  # no recursion: one packet may hold thousands of offers
            data = self._read(data)

    def _read(self, data: bytes) -> bytes:
        """What is to be read again, in another way."""
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
                self._refuse(HTTPStatus.BAD_REQUEST, "The request is not HTTP/1.1 as RFC 9112 has it.")
        if was_in_head and self._is_in_head:  # its first bytes may have come behind a body, and are not counted
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
        # Until its body is read: closed before, the system would tell a client that still sends of a broken connection, and
        # drop the answer that says why (RFC 9112, 9.6).
        self._is_last, self.cycle.keep_alive = not self.cycle.keep_alive, True
        if self.parser.get_method() == b"CONNECT":  # no proxy: what follows is neither a body nor another request
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
        """Called by the answer, once all of it is sent."""
        super().on_response_complete()
        if self._is_last and self.cycle.more_body and self._is_idle():
            self._linger()
        if self._is_in_head and self._is_idle() and self._head_timer is None:  # its first bytes came behind the request before
            self._start_head_timer()

    def eof_received(self) -> bool:  # type: ignore[override]
        """Whether the connection stays open for an answer: the client has sent all that it will, and may wait for it.

        Under TLS the event loop closes the connection whatever is said here.
        """
        if self._is_idle() or self.cycle.more_body:
            return False
        self.cycle.keep_alive = False  # the last request that was received; after its answer nothing can come
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the event loop."""
        self._stop_head_timer()
        super().connection_lost(exc)

    def _is_idle(self) -> bool:
        """Whether no request is being answered: none came yet, or each has its answer."""
        return self.cycle is None or (self.cycle.response_complete and not self.pipeline)

    def _ignores_upgrade(self) -> bool:
        """Whether the client offers another protocol, as Java's does with h2c (RFC 9110, 7.8): none is spoken here."""
        return self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT"

    def _should_upgrade(self) -> bool:
        """Asked by uvicorn, which would hand a web socket to another class: past the limits here, the door and the records."""
        return False

    def _without_upgrade(self, rest: bytes) -> bytes:
        """The request anew, the offer left out, for a new parser: this one takes what follows for the other protocol's, and a
        film, or a second request that is hidden in a body, for the next request.
        """
        start = b"%s %s HTTP/%s" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode("ascii"))
        fields = [b"%s: %s" % field for field in self.headers if field[0] != b"upgrade"]
        self.parser = httptools.HttpRequestParser(self)
        return b"\r\n".join([start, *fields, b"", rest])

    def _linger(self) -> None:
        """The client learns that nothing more comes, and may send the rest of its body, which nobody reads, until it closes."""
        if not self.transport.can_write_eof():  # under TLS
            self.transport.close()
            return
        self.transport.write_eof()
        if self._head_timer is None:
            self._start_head_timer()

    def _start_head_timer(self) -> None:
        self._head_timer = self.loop.call_later(self._head_seconds, self._head_is_late)

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _head_is_late(self) -> None:
        if self._is_in_head:
            detail = f"The request's head did not come whole within {self._head_seconds} seconds; send it again."
            self._refuse(HTTPStatus.REQUEST_TIMEOUT, detail)
        else:  # nothing was asked: a connection that was opened ahead of need, as browsers do, or the rest of a refused body
            self.transport.close()

    def _refuse_long_head(self) -> None:
        self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, f"The request's head is over {MAX_HEAD_BYTES} bytes.")

    def _refuse(self, status: HTTPStatus, detail: str) -> None:
        """Answer what never became a request, and close. Requests before it get their answers, and this one none: a client
        takes the first answer for that to its first request (RFC 9112, 9.3.2).
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
    """Let uvicorn build its connections of this class, whoever starts it: BentoML's command has no option for that."""
    uvicorn.config.HTTP_PROTOCOLS["auto"] = functools.partial(Connection, context)  # type: ignore[assignment]
