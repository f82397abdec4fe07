"""What `bentoml serve` is told about where and how to listen: what cannot work is named before anything starts."""

import os
import socket

import pytest

from service.errors import SettingsError
from service.process.listening import check_address, check_tls
from tests.support.server.serving import failed_start, free_port
from tests.support.server.tls import make_certificate


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Paths by name: a certificate and its key, another key, an encrypted one, both in one file, and text."""
    folders = {name: tmp_path_factory.mktemp(name) for name in ("own", "other", "encrypted")}
    certificate, key = make_certificate(folders["own"])
    both, text = folders["own"] / "both.pem", folders["own"] / "text.pem"
    both.write_bytes(certificate.read_bytes() + key.read_bytes())
    text.write_text("no certificate")
    encrypted = make_certificate(folders["encrypted"], b"a password")
    return {
        "certificate": certificate,
        "key": key,
        "both": both,
        "text": text,
        "other key": make_certificate(folders["other"])[1],
        "encrypted certificate": encrypted[0],
        "encrypted key": encrypted[1],
        "missing": folders["own"] / "missing.pem",
        "folder": folders["own"],
    }


def check(files, certificate, key, password=None):
    check_tls(certificate and str(files[certificate]), key and str(files[key]), password)


@pytest.mark.parametrize(
    ("certificate", "key", "complaint"),
    [
        ("missing", "key", "missing.pem of the --ssl options cannot be read: No such file"),
        ("certificate", "missing", "missing.pem of the --ssl options cannot be read: No such file"),
        ("folder", "key", "cannot be read: Is a directory"),
        ("certificate", None, r"give the key's file: --ssl-keyfile \(KEY= of make serve\)"),
        ("certificate", "", r"give the key's file: --ssl-keyfile \(KEY= of make serve\)"),
        (None, "key", r"without its certificate: --ssl-certfile \(CERT= of make serve\)"),
        ("", "key", r"without its certificate: --ssl-certfile \(CERT= of make serve\)"),
        ("certificate", "other key", "the key that of the certificate"),
        ("certificate", "text", "both must be PEM"),
        ("text", "key", "both must be PEM"),
        ("encrypted certificate", "encrypted key", "An encrypted key needs its --ssl-keyfile-password"),
    ],
)
def test_a_certificate_that_cannot_be_used_is_named(files, certificate, key, complaint):
    with pytest.raises(SettingsError, match=complaint):
        check(files, certificate, key)


@pytest.mark.parametrize("password", ["another password", "far too long " * 100])
def test_a_wrong_password_is_refused(files, password):
    with pytest.raises(SettingsError, match="--ssl-keyfile-password"):
        check(files, "encrypted certificate", "encrypted key", password)


def test_what_works_raises_nothing(files):
    check(files, None, None)
    check(files, "certificate", "key")
    check(files, "both", None)
    check(files, "encrypted certificate", "encrypted key", "a password")
    for host in ("127.0.0.1", "0.0.0.0", "::1"):
        check_address(host, 0)


@pytest.mark.parametrize(
    ("host", "complaint"),
    [
        ("localhost", "no IP address"),
        ("", "no IP address"),
        ("192.0.2.1", "no such address"),  # for documentation only (RFC 5737)
    ],
)
def test_an_address_where_nothing_can_listen_is_named(host, complaint):
    with pytest.raises(SettingsError, match=complaint):
        check_address(host, 3000)


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_a_port_in_use_is_named(host):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(SettingsError, match=f"port {port}: it is in use"):
            check_address(host, port)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_port_that_needs_rights_is_named():
    child = os.fork()
    if child == 0:
        os.setuid(65534)
        try:
            check_address("127.0.0.1", 80)
        except SettingsError as refusal:
            os._exit("1024 or more" in str(refusal))
        os._exit(2)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status == 2:
        pytest.skip("everybody may listen on every port of this machine")
    assert status == 1


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["port", "certificate"])
def test_a_server_that_cannot_listen_ends_with_one_line(files, fault):
    port = free_port()
    given = ["--ssl-certfile", str(files["certificate"])] if fault == "certificate" else []
    with socket.socket() as listener:
        if fault == "port":
            listener.bind(("127.0.0.1", port))
            listener.listen()
        status, output = failed_start(os.environ, given, port)
    assert status == 1
    assert output.count("\n") == 1
    assert {"port": "it is in use", "certificate": "KEY= of make serve"}[fault] in output
