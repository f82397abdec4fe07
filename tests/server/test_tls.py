"""TLS as docs/security.md says to switch it on."""

import socket
import ssl
from urllib.parse import urlsplit

import httpx
import pytest

from tests.support.server.serving import served
from tests.support.server.tls import make_certificate

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def server(bundle_path, certificate):
    # As `cxr serve --cert FILE --key FILE` calls it.
    options = ["--ssl-certfile", str(certificate.certificate), "--ssl-keyfile", str(certificate.key), "--ssl-ciphers", "kPSK"]
    settings = {"CXR_BUNDLE": str(bundle_path), "CXR_HEAD_TIMEOUT_SECONDS": "1"}
    with served(settings, options=options) as server:
        yield server


def secured(address, certificate, version=ssl.TLSVersion.TLSv1_3):
    context = certificate.client_context()
    context.maximum_version = version
    parts = urlsplit(address)
    plain = socket.create_connection((parts.hostname, parts.port), timeout=30)
    return context.wrap_socket(plain, server_hostname=parts.hostname)


def test_tls_1_3_is_spoken_and_1_2_is_not(server, certificate):
    with secured(server.address, certificate) as connection:
        assert connection.version() == "TLSv1.3"
    with pytest.raises((ssl.SSLError, ConnectionError)):
        secured(server.address, certificate, ssl.TLSVersion.TLSv1_2)


@pytest.mark.parametrize(("sent", "status"), [(b"", b""), (b"GET /health HTTP/1.1\r\nHost: x\r\nX-Slow: ", b"HTTP/1.1 408 ")])
def test_a_head_that_does_not_come_ends_the_connection_under_tls_too(server, certificate, sent, status):
    with secured(server.address, certificate) as connection:
        connection.sendall(sent)
        answer = b"".join(iter(lambda: connection.recv(65536), b""))  # to the end, which the server makes
    assert answer.startswith(status) and bool(answer) == bool(status)


def test_answers_under_tls_tell_browsers_to_stay_with_it(server, certificate):
    response = httpx.get(f"{server.address}/health", verify=certificate.client_context())
    assert response.json()["status"] == "ok"
    assert "max-age" in response.headers["Strict-Transport-Security"]
