"""Connections byte by byte: time and size limits, half-closed ones, and heads that two servers could read in two ways."""

import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from http.client import HTTPConnection, HTTPResponse
from urllib.parse import urlsplit

import pytest

from tests.support.server.problems import PNG
from tests.support.server.serving import served
from tests.support.server.sockets import exchange, head, keyed

pytestmark = pytest.mark.slow

SETTINGS = {"CXR_KEEP_ALIVE_SECONDS": "2", "CXR_HEAD_TIMEOUT_SECONDS": "1"}


def test_a_connection_without_a_whole_head_is_closed_in_the_time_set(guarded):
    silent, begun = (b"", b"\r\n\r\n"), (b"GET /health HTTP/1.1\r\nHost: x\r\nX-Slow: ", b"G")
    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(lambda sent: exchange(guarded.address, sent, patience_seconds=10), (*silent, *begun)))
    assert answers[:2] == [b"", b""]
    for answer in answers[2:]:  # which asked for something: RFC 9110, 15.5.9
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b"application/problem+json" in answer and b"connection: close" in answer


@pytest.mark.parametrize(
    ("first", "then", "status"),
    [
        # A head has its time from its first byte, and not from its last one.
        (("GET /livez", b""), b"GET /livez HTTP/1.1\r\n", b"HTTP/1.1 408 "),
        # Of a body whose request is refused, and of blank lines, nobody waits for the end.
        (("POST /nowhere", b"Content-Length: 1000000"), b"x" * 10, b""),
        (("GET /livez", b""), b"\r\n", b""),
    ],
)
def test_what_begins_behind_an_answer_has_its_time_too(guarded, first, then, status):
    start, field = first
    parts = urlsplit(guarded.address)
    with socket.create_connection((parts.hostname, parts.port), timeout=10) as connection:
        connection.sendall(head(*([field] if field else []), start=start.encode() + b" HTTP/1.1"))
        first_answer = HTTPResponse(connection)
        first_answer.begin()
        assert first_answer.read()
        connection.sendall(then)
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert answer.startswith(status) and bool(answer) == bool(status)


def test_an_idle_connection_is_closed_after_the_time_set(guarded):
    answer = exchange(guarded.address, head(start=b"GET /livez HTTP/1.1"), patience_seconds=4.5)  # uvicorn's own time is 5 s
    assert answer.startswith(b"HTTP/1.1 200 ")


def test_a_head_that_never_ends_is_cut_off_by_its_size(guarded):
    filler = [b"X-%d: %s\r\n" % (index, b"a" * 8000) for index in range(50)]  # more than is read at once, and the limit
    try:
        answer = exchange(guarded.address, b"GET /health HTTP/1.1\r\n", *filler, patience_seconds=10)
    except ConnectionError:  # cut off while this end still sends
        return
    assert answer.startswith(b"HTTP/1.1 431 ")


@pytest.mark.parametrize(
    "field", [b"X-Long: " + b"a" * 70_000, b"\r\n".join(b"X-%d: %s" % (i, b"a" * 700) for i in range(100))]
)
def test_a_head_over_the_limit_that_comes_at_once_is_refused_too(guarded, field):
    """uvicorn reads up to 256 KiB at a time."""
    answer = exchange(guarded.address, head(field, start=b"GET /livez HTTP/1.1"), patience_seconds=10)
    assert answer.startswith(b"HTTP/1.1 431 ")
    assert b"application/problem+json" in answer and b"over 65536 bytes" in answer


def test_a_head_that_begins_behind_a_request_has_its_time_too(guarded):
    """Sooner than an idle connection is closed, to which nothing is said."""
    answer = exchange(guarded.address, head(start=b"GET /livez HTTP/1.1") + b"GET /health HT", patience_seconds=10)
    assert answer.startswith(b"HTTP/1.1 200 ") and b"HTTP/1.1 408 " in answer


@pytest.mark.parametrize(
    "behind", [b"\x00\x01", b"no request\r\n\r\n", b"GET /livez HTTP/1.1\r\nX-Long: " + b"a" * 70_000 + b"\r\n\r\n"]
)
def test_what_comes_behind_a_request_and_is_none_does_not_cost_its_answer(guarded, behind):
    """A client that sent more than its Content-Length says took the 400 for the answer to its film, which was on record."""
    sent = head(keyed(guarded), b"Content-Length: %d" % len(PNG)) + PNG + behind
    answer = exchange(guarded.address, sent, patience_seconds=20)
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.count(b"HTTP/1.1 ") == 1


def framed(body, chunked):
    """The field that frames a body, and the body as it is sent."""
    if chunked:
        return b"Transfer-Encoding: chunked", b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    return b"Content-Length: %d" % len(body), body


@pytest.mark.parametrize("chunked", [False, True])
def test_a_client_that_has_said_all_and_waits_gets_its_answer(guarded, chunked):
    """A half-closed connection: shutdown(SHUT_WR), as `nc -N` does it."""
    framing, body = framed(PNG, chunked)
    answer = exchange(guarded.address, head(keyed(guarded), framing) + body, half_close=True)
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b'"prediction"' in answer and b"connection: close" in answer


def test_of_several_requests_before_a_half_close_each_is_answered(guarded):
    answer = exchange(guarded.address, head(start=b"GET /livez HTTP/1.1") * 3, half_close=True)
    assert answer.count(b"HTTP/1.1 200 ") == 3


def test_a_half_close_within_a_body_ends_the_connection(guarded):
    begun = head(keyed(guarded), b"Content-Length: 100") + b"abc"
    assert exchange(guarded.address, begun, half_close=True, patience_seconds=10) == b""


@pytest.mark.parametrize("version", [b"1.1", b"1.0"])
def test_a_refusal_reaches_a_client_that_still_sends_its_body(guarded, version):
    """Of a connection that is closed with something unread in it, the client is told that it broke, and loses the answer."""
    size = 45_000_000
    lines = [b"Content-Length: %d" % size, b"Connection: close"]
    answer = exchange(guarded.address, head(*lines, start=b"POST /predict HTTP/" + version), bytes(size))
    assert answer.startswith(b"HTTP/1.1 401 ") and b"API key missing" in answer
    answer = exchange(guarded.address, head(keyed(guarded), *lines), bytes(size))
    assert answer.startswith(b"HTTP/1.1 413 ") and b"over the limit" in answer
    # One that waits for the end before it sends more sees it at once.
    answer = exchange(guarded.address, head(*lines), b"begun", patience_seconds=0.9)
    assert answer.startswith(b"HTTP/1.1 401 ")


@pytest.mark.parametrize(
    "lines",
    [
        [b"Content-Length: 3", b"Content-Length: 3"],
        [b"Content-Length: 3", b"Content-Length: 30"],
        [b"Content-Length: 3, 3"],
        [b"Content-Length: +3"],
        [b"Content-Length: 3", b"Transfer-Encoding: chunked"],
        [b"Transfer-Encoding: xchunked"],
        [b"Transfer-Encoding: chunked, identity"],
        [b"Transfer-Encoding : chunked"],
        [b"Transfer-Encoding:\x0bchunked"],
        [b"X: a\r\n b"],
        [b"X: a\rb"],
        [b"X: a\nContent-Length: 3"],
        [b"X\x00: a"],
    ],
)
def test_a_head_that_could_be_read_in_two_ways_is_refused_and_the_connection_closed(guarded, lines):
    answer = exchange(guarded.address, head(keyed(guarded), *lines) + b"abc" + head(start=b"GET /health HTTP/1.1"))
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"application/problem+json" in answer and b"connection: close" in answer
    assert b'"status": "ok"' not in answer


@pytest.mark.parametrize("chunked", [False, True])
def test_the_body_behind_an_offer_of_another_protocol_is_a_body(guarded, chunked):
    """Java's HTTP client offers h2c with each first request (RFC 9110, 7.8: an offer may be ignored). The film is read, and
    a request hidden in a body is not.
    """
    offered = b"Connection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAAQBAAAAAAIAAAAA\r\nUpgrade: h2c"
    offer = (keyed(guarded), offered)
    hidden = head(start=b"GET /health HTTP/1.1")
    for body, status in ((PNG, b"200"), (hidden, b"415")):
        length, sent = framed(body, chunked)
        for pieces in ([head(*offer, length) + sent], [head(*offer, length), sent]):
            answer = exchange(guarded.address, *pieces, half_close=True)
            assert answer.startswith(b"HTTP/1.1 " + status)
            assert answer.count(b"HTTP/1.1 ") == 1


def test_an_offer_of_a_web_socket_is_ignored_as_others_are(guarded):
    """It was a bare 403 of the web socket library, without X-Request-ID, past access control, limits and records."""
    offer = (
        b"Connection: Upgrade",
        b"Upgrade: websocket",
        b"Sec-WebSocket-Version: 13",
        b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
    )
    answer = exchange(guarded.address, head(*offer, start=b"GET /audit HTTP/1.1"), half_close=True)
    assert answer.startswith(b"HTTP/1.1 401 ")
    answer = exchange(guarded.address, head(keyed(guarded), *offer, b"Content-Length: %d" % len(PNG)) + PNG, half_close=True)
    assert answer.startswith(b"HTTP/1.1 200 ")


def test_as_many_offers_as_one_packet_holds_are_ignored(guarded):
    """Each was read by a call within the one before it, until Python's limit of calls was reached."""
    asked = head(b"Connection: upgrade", b"Upgrade: h2c", start=b"GET /livez HTTP/1.1")
    answer = exchange(guarded.address, asked * 600, half_close=True)
    assert answer.count(b"HTTP/1.1 200 ") == 600


def test_zeros_in_front_of_a_length_are_no_fault_of_the_server(guarded):
    """llhttp reads any number of them; Python's int raises from 4301 digits on."""
    length = b"Content-Length: " + b"0" * 5000 + b"%d" % len(PNG)
    answer = exchange(guarded.address, head(keyed(guarded), length) + PNG, half_close=True)
    assert answer.startswith(b"HTTP/1.1 200 ")


def test_nobody_is_connected_through(guarded):
    answer = exchange(guarded.address, head(start=b"CONNECT /health HTTP/1.1") + head(start=b"GET /livez HTTP/1.1"))
    assert answer.startswith(b"HTTP/1.1 405 ")
    assert answer.count(b"HTTP/1.1 ") == 1


@pytest.mark.long
def test_an_idle_connection_outlives_those_of_the_proxies_in_front(bundle_path):
    with served({"CXR_BUNDLE": str(bundle_path)}) as server:
        parts = urlsplit(server.address)
        with closing(HTTPConnection(parts.hostname, parts.port, timeout=30)) as connection:
            connection.connect()
            sock = connection.sock
            for idle_seconds in (91, None):  # Traefik and Go's proxies keep theirs for 90 s
                connection.request("GET", "/livez")
                with connection.getresponse() as answer:
                    assert (answer.status, len(answer.read())) == (200, int(answer.headers["Content-Length"]))
                if idle_seconds:
                    sock.settimeout(idle_seconds)
                    with pytest.raises(TimeoutError):
                        sock.recv(1)
            assert connection.sock is sock
