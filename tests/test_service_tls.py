"""TLS as README.md says to switch it on."""

import datetime
import ipaddress
import os
import socket
import ssl
from urllib.parse import urlsplit

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.serving import ROOT, served

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """Files of a certificate for 127.0.0.1 and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    signed = (
        builder.not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    folder = tmp_path_factory.mktemp("tls")
    (folder / "cert.pem").write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "key.pem").write_bytes(private)
    return folder / "cert.pem", folder / "key.pem"


@pytest.fixture(scope="module")
def server(bundle_path, certificate):
    # As `make serve CERT=… KEY=…` calls it.
    options = ["--ssl-certfile", str(certificate[0]), "--ssl-keyfile", str(certificate[1]), "--ssl-ciphers", "kPSK"]
    with served(os.environ | {"CXR_BUNDLE": str(bundle_path)}, options=options) as server:
        yield server


def handshake(address, certificate, version):
    context = ssl.create_default_context(cafile=str(certificate[0]))
    context.maximum_version = version
    parts = urlsplit(address)
    with (
        socket.create_connection((parts.hostname, parts.port), timeout=30) as plain,
        context.wrap_socket(plain, server_hostname=parts.hostname) as secured,
    ):
        return secured.version()


def test_tls_1_3_is_spoken_and_1_2_is_not(server, certificate):
    assert handshake(server.address, certificate, ssl.TLSVersion.TLSv1_3) == "TLSv1.3"
    with pytest.raises((ssl.SSLError, ConnectionError)):
        handshake(server.address, certificate, ssl.TLSVersion.TLSv1_2)


def test_answers_under_tls_tell_browsers_to_stay_with_it(server, certificate):
    context = ssl.create_default_context(cafile=str(certificate[0]))
    response = httpx.get(f"{server.address}/health", verify=context)
    assert response.json()["status"] == "ok"
    assert "max-age" in response.headers["Strict-Transport-Security"]


def test_make_serve_passes_the_certificate_on_as_it_is_tried_here():
    recipe = (ROOT / "Makefile").read_text("utf-8")
    assert '--ssl-certfile "$(CERT)" --ssl-keyfile "$(KEY)" --ssl-ciphers kPSK' in recipe
