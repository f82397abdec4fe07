"""A server that takes tokens, and the issuer's key set behind TLS: away at first, read, away again, replaced."""

import json
import ssl
import threading
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

from service.access.key_set import RETRY_SECONDS
from tests.support.server.serving import free_port, served
from tests.support.server.tls import make_certificate
from tests.support.server.tokens import AUDIENCE, ISSUER, OTHERS, RSA, public, token
from tests.support.waiting import eventually

pytestmark = [pytest.mark.slow, pytest.mark.long]

ROLES = "https://hospital.example/roles"
KEYS = {"old": RSA, "new": OTHERS[0]}


def publish(folder, name):
    (folder / "jwks.json").write_text(json.dumps({"keys": [public(KEYS[name], name, "RS256")]}))


def bearer(name, subject):
    """A token of a subject of its own: one that was accepted is not verified again for a minute."""
    return {"Authorization": f"Bearer {token(KEYS[name], name, sub=subject, **{'roles': None, ROLES: ['clinician']})}"}


@contextmanager
def key_set_server(port, folder, certificate):
    server = ThreadingHTTPServer(("127.0.0.1", port), partial(SimpleHTTPRequestHandler, directory=folder))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield
    server.shutdown()
    server.server_close()


def test_a_key_set_that_is_away_is_told_and_the_keys_that_were_read_stay_valid(bundle_path, tmp_path):
    certificate, port, published = make_certificate(tmp_path), free_port(), tmp_path / "published"
    published.mkdir()
    publish(published, "old")
    settings = {
        "CXR_BUNDLE": str(bundle_path),
        "CXR_AUTH": "tokens",
        "CXR_JWKS": f"https://127.0.0.1:{port}/jwks.json",
        "CXR_TOKEN_ISSUER": ISSUER,
        "CXR_TOKEN_AUDIENCE": AUDIENCE,
        "CXR_TOKEN_ROLES_CLAIM": ROLES,
        "CXR_RATE_LIMIT": "10000/minute",
        "SSL_CERT_FILE": str(certificate.certificate),
    }
    with (
        served(settings) as server,
        httpx.Client(base_url=server.address, timeout=60) as client,
    ):

        def status(name, subject):
            return client.get("/model/info", headers=bearer(name, subject)).status_code

        def becomes(expected, name, subject):
            return eventually(lambda: status(name, subject), lambda found: found == expected, 2 * RETRY_SECONDS) == expected

        away = client.get("/model/info", headers=bearer("old", "first"))
        assert away.status_code == 503, away.text
        assert int(away.headers["Retry-After"]) > 0
        assert away.json()["type"] == "urn:chest-xray:problem:issuer-unavailable"
        assert client.get("/health").status_code == 200
        assert client.get("/model/info").status_code == 401
        with key_set_server(port, published, certificate):
            assert becomes(200, "old", "second")
            assert status("new", "stranger") == 401
        # Away again: the keys that were read are still valid; an unknown key may be one that the issuer publishes by now.
        assert becomes(503, "new", "third")
        assert status("old", "fourth") == 200
        publish(published, "new")
        with key_set_server(port, published, certificate):
            assert becomes(200, "new", "fifth")
            assert status("old", "sixth") == 401
