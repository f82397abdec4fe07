"""A server that takes tokens, and the issuer's key set as a process of its own: away at the start, away later, keys changed."""

import json
import subprocess
import sys
from contextlib import contextmanager

import httpx
import pytest

from service.access.key_set import RETRY_SECONDS
from tests.support.serving import environment_without_settings, free_port, served
from tests.support.tls import make_certificate
from tests.support.tokens import AUDIENCE, ISSUER, RSA, STRANGERS, public, token
from tests.support.waiting import eventually

pytestmark = [pytest.mark.slow, pytest.mark.long]

ROLES = "https://hospital.example/roles"

KEY_SET_SERVER = """
import functools, http.server, ssl, sys

port, folder, certificate, key = sys.argv[1:]
handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=folder)
server = http.server.ThreadingHTTPServer(("127.0.0.1", int(port)), handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(certificate, key)
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
"""

KEYS = {"old": RSA, "new": STRANGERS}


def publish(folder, *names):
    (folder / "jwks.json").write_text(json.dumps({"keys": [public(KEYS[name], name, "RS256") for name in names]}))


def bearer(name, subject):
    """A token that nobody has seen before: one that was good is not checked anew for a minute."""
    return {"Authorization": f"Bearer {token(KEYS[name], name, sub=subject, **{ROLES: ['clinician']})}"}


@contextmanager
def key_set_server(port, folder, certificate):
    command = [sys.executable, "-c", KEY_SET_SERVER, str(port), str(folder), *map(str, certificate)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        process.wait()


def test_a_key_set_that_is_away_is_told_and_what_was_read_goes_on(bundle_path, tmp_path):
    certificate, port = make_certificate(tmp_path), free_port()
    published = tmp_path / "published"
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
    environment = environment_without_settings()
    patience = 2 * RETRY_SECONDS
    with served(environment | settings) as server, httpx.Client(base_url=server.address, timeout=60) as client:

        def status(name, subject):
            return client.get("/model/info", headers=bearer(name, subject)).status_code

        away = client.get("/model/info", headers=bearer("old", "first"))
        assert away.status_code == 503, away.text
        assert int(away.headers["Retry-After"]) > 0
        assert away.json()["type"] == "urn:chest-xray:problem:issuer-unavailable"
        assert client.get("/health").status_code == 200
        assert client.get("/model/info").status_code == 401
        with key_set_server(port, published, certificate):
            assert eventually(lambda: status("old", "second"), lambda found: found == 200, patience) == 200
            assert status("new", "stranger") == 401
        # Away: who has a key that was read comes in, and of others it cannot be said.
        assert eventually(lambda: status("new", "third"), lambda found: found == 503, patience) == 503
        assert status("old", "fourth") == 200
        publish(published, "new")
        with key_set_server(port, published, certificate):
            assert eventually(lambda: status("new", "fifth"), lambda found: found == 200, patience) == 200
            assert status("old", "sixth") == 401
