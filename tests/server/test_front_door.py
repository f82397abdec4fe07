"""A server with keys, behind a proxy that ends TLS and byte by byte: paths, connections, smuggling, BentoML's own clients."""

import asyncio
import socket
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from http.client import HTTPConnection, HTTPResponse
from types import SimpleNamespace
from urllib.parse import urlsplit

import bentoml
import httpx
import pytest

from service.access.keys import KeyStore
from service.access.roles import PUBLIC, ROLES_OF, Role
from service.records.store import RecordStore
from service.records.values import AuditFilter
from tests.support.encoded_films import encode, film
from tests.support.serving import environment_without_settings, served
from tests.support.tls import make_certificate, tls_proxy

pytestmark = pytest.mark.slow

PNG = encode(film(256), "PNG")


@pytest.fixture(scope="module")
def door(bundle_path, tmp_path_factory):
    """The server, a client that comes through the proxy, the records, and a key of each role."""
    folder = tmp_path_factory.mktemp("door")
    records = RecordStore(f"sqlite:///{folder / 'records.db'}")
    records.open()
    keys = KeyStore(records.database)
    environment = environment_without_settings()
    settings = {
        "CXR_BUNDLE": str(bundle_path),
        "CXR_DATABASE_URL": f"sqlite:///{folder / 'records.db'}",
        "CXR_AUTH": "keys",
        "CXR_RATE_LIMIT": "10000/minute",
        "CXR_KEEP_ALIVE_SECONDS": "2",
        "CXR_HEAD_TIMEOUT_SECONDS": "1",
    }
    certificate = make_certificate(folder)
    with (
        served(environment | settings) as server,
        tls_proxy(server.address, certificate) as address,
        httpx.Client(base_url=address, verify=certificate.client_context(), timeout=120) as client,
    ):
        key = {role: keys.create(f"{role}_1", role)[0] for role in Role}
        yield SimpleNamespace(address=server.address, client=client, records=records, key=key)
    records.close()


def ask(door, method, path, **options):
    """Through the proxy; the path as it stands, which httpx would take for a host if it began with two slashes."""
    return door.client.request(method, f"{str(door.client.base_url).rstrip('/')}{path}", **options)


def method_of(path):
    return "GET" if path in ("/audit", "/model/info", *PUBLIC) else "POST"


# Paths


def test_no_path_with_a_slash_too_many_is_redirected(door):
    """A redirect would name http, which the server speaks behind the proxy: film and key would follow in clear text."""
    paths = (*ROLES_OF, *PUBLIC, "/ui", "/ui/main.js", "/static_content", "/static_content/swagger-ui.css", "/nowhere")
    spellings = [f"{path}/" for path in paths]
    for path in ("/predict", "/health", "/docs"):
        spellings += [f"{path}//", f"/{path}", f"{path}%2F", f"{path}/?x=1", path.replace("/", "//") + "/"]
    for spelling in spellings:
        for method in ("GET", "POST", "HEAD", "OPTIONS") if "predict" in spelling else ("GET",):
            answer = ask(door, method, spelling, headers={"X-API-Key": door.key[Role.ADMIN]})
            assert "location" not in answer.headers, (method, spelling)
            assert not answer.is_redirect
            assert answer.status_code < 500


@pytest.mark.parametrize("path", ["/predict", "/predict/batch", "/predict/explain"])
def test_a_slash_at_the_end_is_answered_as_the_path_without_it(door, path):
    request_id = str(uuid.uuid4())
    headers = {"X-API-Key": door.key[Role.CLINICIAN], "X-Request-ID": request_id}
    body = {"files": [("images", PNG)]} if path == "/predict/batch" else {"content": PNG}
    answer = door.client.post(f"{path}/", headers=headers, **body)
    assert answer.status_code == 200, answer.text
    assert door.client.post(path, headers=headers, **body).json().keys() == answer.json().keys()
    rows = [row for row in door.records.audit_page(AuditFilter(), limit=1000).rows if row.request_id == request_id]
    assert [row.endpoint for row in rows] == [path, path]


def test_a_slash_at_the_end_meets_the_same_questions(door):
    for path, roles in ROLES_OF.items():
        for spelling in (f"{path}/", f"{path}%2F"):
            assert door.client.request(method_of(path), spelling).status_code == 401
            for role in Role:
                answer = door.client.request(method_of(path), spelling, headers={"X-API-Key": door.key[role]})
                assert (answer.status_code == 403) == (role not in roles), spelling
    metrics = door.client.get("/metrics/").text
    assert 'endpoint="/audit",' in metrics
    assert 'endpoint="/audit/' not in metrics


@pytest.mark.parametrize("path", ["/docs/", "/ui/", "/predict//", "//predict"])
def test_pages_and_what_has_more_slashes_are_not_there_and_the_right_path_is_named(door, path):
    answer = ask(door, "GET", path, headers={"X-API-Key": door.key[Role.ADMIN]})
    assert answer.status_code == 404
    if path != "/ui/":
        assert f"did you mean /{path.strip('/')}?" in answer.json()["detail"]


def test_a_method_that_is_not_answered_is_told_which_are(door):
    headers = {"X-API-Key": door.key[Role.ADMIN]}
    for path in (*ROLES_OF, *PUBLIC, "/ui/main.js", "/static_content/swagger-ui.css"):
        allowed = {"GET", "HEAD"} if method_of(path) == "GET" or "." in path else {"POST"}
        for method in ("DELETE", "PUT", "OPTIONS", "POST" if "GET" in allowed else "GET"):
            answer = door.client.request(method, path, headers=headers)
            assert answer.status_code == 405, path
            assert set(answer.headers["Allow"].split(", ")) == allowed
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.json()["detail"].startswith(f"This path answers {answer.headers['Allow']}, not {method}")


# Connections


def exchange(address, *pieces, half_close=False, patience_seconds=30):
    """Send the pieces one by one, read to the end. What came, without the end's mark if the server did not make one in time."""
    parts = urlsplit(address)
    with socket.create_connection((parts.hostname, parts.port), timeout=patience_seconds) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in pieces:
            connection.sendall(piece)
        if half_close:
            connection.shutdown(socket.SHUT_WR)
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
        return answer


def head(*lines, start=b"POST /predict HTTP/1.1"):
    return b"\r\n".join([start, b"Host: x", *lines, b"", b""])


def keyed(door):
    return b"X-API-Key: " + door.key[Role.CLINICIAN].encode()


def test_a_connection_without_a_whole_head_is_closed_in_the_time_set(door):
    silent, begun = (b"", b"\r\n\r\n"), (b"GET /health HTTP/1.1\r\nHost: x\r\nX-Slow: ", b"G")
    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(lambda sent: exchange(door.address, sent, patience_seconds=10), (*silent, *begun)))
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
def test_what_begins_behind_an_answer_has_its_time_too(door, first, then, status):
    start, field = first
    parts = urlsplit(door.address)
    with socket.create_connection((parts.hostname, parts.port), timeout=10) as connection:
        connection.sendall(head(*([field] if field else []), start=start.encode() + b" HTTP/1.1"))
        first_answer = HTTPResponse(connection)
        first_answer.begin()
        assert first_answer.read()
        connection.sendall(then)
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert answer.startswith(status) and bool(answer) == bool(status)


def test_an_idle_connection_is_closed_after_the_time_set(door):
    answer = exchange(door.address, head(start=b"GET /livez HTTP/1.1"), patience_seconds=4.5)  # uvicorn's own time is 5 s
    assert answer.startswith(b"HTTP/1.1 200 ")


def test_a_head_that_never_ends_is_cut_off_by_its_size(door):
    filler = [b"X-%d: %s\r\n" % (index, b"a" * 8000) for index in range(50)]  # more than is read at once, and the limit
    try:
        answer = exchange(door.address, b"GET /health HTTP/1.1\r\n", *filler, patience_seconds=10)
    except ConnectionError:  # cut off while this end still sends
        return
    assert answer.startswith(b"HTTP/1.1 431 ")


@pytest.mark.parametrize(
    "field", [b"X-Long: " + b"a" * 70_000, b"\r\n".join(b"X-%d: %s" % (i, b"a" * 700) for i in range(100))]
)
def test_a_head_over_the_limit_that_comes_at_once_is_refused_too(door, field):
    """uvicorn reads up to 256 KiB at a time."""
    answer = exchange(door.address, head(field, start=b"GET /livez HTTP/1.1"), patience_seconds=10)
    assert answer.startswith(b"HTTP/1.1 431 ")
    assert b"application/problem+json" in answer and b"over 65536 bytes" in answer


def test_a_head_that_begins_behind_a_request_has_its_time_too(door):
    """Sooner than an idle connection is closed, to which nothing is said."""
    answer = exchange(door.address, head(start=b"GET /livez HTTP/1.1") + b"GET /health HT", patience_seconds=10)
    assert answer.startswith(b"HTTP/1.1 200 ") and b"HTTP/1.1 408 " in answer


@pytest.mark.parametrize(
    "behind", [b"\x00\x01", b"no request\r\n\r\n", b"GET /livez HTTP/1.1\r\nX-Long: " + b"a" * 70_000 + b"\r\n\r\n"]
)
def test_what_comes_behind_a_request_and_is_none_does_not_cost_its_answer(door, behind):
    """A client that sent more than its Content-Length says took the 400 for the answer to its film, which was on record."""
    answer = exchange(door.address, head(keyed(door), b"Content-Length: %d" % len(PNG)) + PNG + behind, patience_seconds=20)
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.count(b"HTTP/1.1 ") == 1


@pytest.mark.parametrize("size", ["Content-Length", "chunked"])
def test_a_client_that_has_said_all_and_waits_gets_its_answer(door, size):
    """A half-closed connection: shutdown(SHUT_WR), as `nc -N` does it."""
    framing, body = (b"Content-Length: %d" % len(PNG), PNG)
    if size == "chunked":
        framing, body = b"Transfer-Encoding: chunked", b"%x\r\n%s\r\n0\r\n\r\n" % (len(PNG), PNG)
    answer = exchange(door.address, head(keyed(door), framing) + body, half_close=True)
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b'"prediction"' in answer and b"connection: close" in answer


def test_of_several_requests_before_a_half_close_each_is_answered(door):
    answer = exchange(door.address, head(start=b"GET /livez HTTP/1.1") * 3, half_close=True)
    assert answer.count(b"HTTP/1.1 200 ") == 3


def test_a_half_close_within_a_body_ends_the_connection(door):
    assert (
        exchange(door.address, head(keyed(door), b"Content-Length: 100") + b"abc", half_close=True, patience_seconds=10) == b""
    )


@pytest.mark.parametrize("version", [b"1.1", b"1.0"])
def test_a_refusal_reaches_a_client_that_still_sends_its_body(door, version):
    """Of a connection that is closed with something unread in it, the client is told that it broke, and loses the answer."""
    size = 45_000_000
    lines = [b"Content-Length: %d" % size, b"Connection: close"]
    answer = exchange(door.address, head(*lines, start=b"POST /predict HTTP/" + version), bytes(size))
    assert answer.startswith(b"HTTP/1.1 401 ") and b"API key missing" in answer
    answer = exchange(door.address, head(keyed(door), *lines), bytes(size))
    assert answer.startswith(b"HTTP/1.1 413 ") and b"over the limit" in answer
    # One that waits for the end before it sends more sees it at once.
    answer = exchange(door.address, head(*lines), b"begun", patience_seconds=0.9)
    assert answer.startswith(b"HTTP/1.1 401 ")


# What two servers could read in two ways (RFC 9112, 6.3 and 11.2)


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
def test_a_head_that_could_be_read_in_two_ways_is_refused_and_the_connection_closed(door, lines):
    answer = exchange(door.address, head(keyed(door), *lines) + b"abc" + head(start=b"GET /health HTTP/1.1"))
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"application/problem+json" in answer and b"connection: close" in answer
    assert b'"status": "ok"' not in answer


@pytest.mark.parametrize("framing", ["Content-Length", "chunked"])
def test_the_body_behind_an_offer_of_another_protocol_is_a_body(door, framing):
    """Java's HTTP client offers h2c with each first request (RFC 9110, 7.8: an offer may be ignored). The film is read, and
    a request hidden in a body is not.
    """
    offer = (keyed(door), b"Connection: Upgrade, HTTP2-Settings", b"HTTP2-Settings: AAMAAABkAAQBAAAAAAIAAAAA", b"Upgrade: h2c")
    hidden = head(start=b"GET /health HTTP/1.1")
    for body, status in ((PNG, b"200"), (hidden, b"415")):
        length, sent = b"Content-Length: %d" % len(body), body
        if framing == "chunked":
            length, sent = b"Transfer-Encoding: chunked", b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
        for pieces in ([head(*offer, length) + sent], [head(*offer, length), sent]):
            answer = exchange(door.address, *pieces, half_close=True)
            assert answer.startswith(b"HTTP/1.1 " + status)
            assert answer.count(b"HTTP/1.1 ") == 1


@pytest.mark.parametrize("target", [b"http://elsewhere.example/audit", b"//audit", b"/x/../audit", b"*", b"/audit/"])
def test_no_form_of_a_target_meets_fewer_questions(door, target):
    answer = exchange(door.address, head(b"Connection: close", start=b"GET " + target + b" HTTP/1.1"))
    assert answer.startswith(b"HTTP/1.1 401 ")


def test_an_offer_of_a_web_socket_is_ignored_as_others_are(door):
    """It was a bare 403 of the web socket library, without X-Request-ID, past access control, limits and records."""
    offer = (
        b"Connection: Upgrade",
        b"Upgrade: websocket",
        b"Sec-WebSocket-Version: 13",
        b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
    )
    answer = exchange(door.address, head(*offer, start=b"GET /audit HTTP/1.1"), half_close=True)
    assert answer.startswith(b"HTTP/1.1 401 ")
    answer = exchange(door.address, head(keyed(door), *offer, b"Content-Length: %d" % len(PNG)) + PNG, half_close=True)
    assert answer.startswith(b"HTTP/1.1 200 ")


def test_as_many_offers_as_one_packet_holds_are_ignored(door):
    """Each was read by a call within the one before it, until Python's limit of calls was reached."""
    asked = head(b"Connection: upgrade", b"Upgrade: h2c", start=b"GET /livez HTTP/1.1")
    answer = exchange(door.address, asked * 600, half_close=True)
    assert answer.count(b"HTTP/1.1 200 ") == 600


def test_zeros_in_front_of_a_length_are_no_fault_of_the_server(door):
    """llhttp reads any number of them; Python's int raises from 4301 digits on."""
    length = b"Content-Length: " + b"0" * 5000 + b"%d" % len(PNG)
    answer = exchange(door.address, head(keyed(door), length) + PNG, half_close=True)
    assert answer.startswith(b"HTTP/1.1 200 ")


def test_nobody_is_connected_through(door):
    answer = exchange(door.address, head(start=b"CONNECT /health HTTP/1.1") + head(start=b"GET /livez HTTP/1.1"))
    assert answer.startswith(b"HTTP/1.1 405 ")
    assert answer.count(b"HTTP/1.1 ") == 1


def test_of_two_keys_neither_counts(door):
    for first, second in ((keyed(door), keyed(door)), (keyed(door), b"X-API-Key: x"), (b"X-API-Key: x", keyed(door))):
        answer = exchange(door.address, head(first, second, b"Connection: close", start=b"GET /model/info HTTP/1.1"))
        assert answer.startswith(b"HTTP/1.1 401 ")


def test_a_key_with_blanks_behind_it_is_that_key(door):
    answer = exchange(door.address, head(keyed(door) + b" \t ", b"Connection: close", start=b"GET /model/info HTTP/1.1"))
    assert answer.startswith(b"HTTP/1.1 200 ")


# BentoML's own clients


@pytest.fixture
def film_path(tmp_path):
    path = tmp_path / "film.png"
    path.write_bytes(PNG)
    return path


def test_bentomls_client_connects_and_calls_every_endpoint(door, film_path):
    with bentoml.SyncHTTPClient(door.address, token=door.key[Role.CLINICIAN]) as client:
        assert client.predict(image=film_path)["operating_point"] == "balanced"
        assert client.predict(image=film_path, operating_point="tb_screening")["operating_point"] == "tb_screening"
        explained = client.predict_explain(image=film_path, target="Normal", film=True)["explanation"]
        assert explained["target"] == "Normal" and explained["film_png"]
        assert len(client.predict_batch(images=[film_path, film_path])["results"]) == 2


def test_bentomls_asynchronous_client_does_too(door, film_path):
    async def call():
        async with bentoml.AsyncHTTPClient(door.address, token=door.key[Role.CLINICIAN]) as client:
            return await client.predict(image=film_path)

    assert asyncio.run(call())["prediction"]


@pytest.mark.long
def test_an_idle_connection_outlives_those_of_the_proxies_in_front(bundle_path):
    environment = environment_without_settings()
    with served(environment | {"CXR_BUNDLE": str(bundle_path)}) as server:
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
