"""A server that takes tokens, and the issuer's key set as a process of its own: away at the start, away later, keys changed."""

import json
import subprocess
import sys
from contextlib import contextmanager
from time import time

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from service.access.tokens import RETRY_SECONDS
from tests.support.serving import environment_without_settings, free_port, served
from tests.support.tls import make_certificate
from tests.support.waiting import eventually

pytestmark = [pytest.mark.slow, pytest.mark.long]

ISSUER, AUDIENCE, ROLES = "https://login.hospital.example", "chest-xray", "https://hospital.example/roles"

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

KEYS = {name: rsa.generate_private_key(public_exponent=65537, key_size=2048) for name in ("old", "new")}


def publish(folder, *names):
    public = [json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(KEYS[name].public_key())) for name in names]
    entries = [entry | {"kid": name, "use": "sig", "alg": "RS256"} for entry, name in zip(public, names, strict=True)]
    (folder / "jwks.json").write_text(json.dumps({"keys": entries}))


def token(name, subject):
    """One that nobody has seen before: a token that was good is not checked anew for a minute."""
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": subject, "exp": int(time()) + 600, ROLES: ["clinician"]}
    return {"Authorization": f"Bearer {jwt.encode(claims, KEYS[name], 'RS256', {'kid': name})}"}


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
            return client.get("/model/info", headers=token(name, subject)).status_code

        away = client.get("/model/info", headers=token("old", "first"))
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
