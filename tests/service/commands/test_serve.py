"""`cxr serve` becomes `bentoml serve`."""

import os
import sys

import pytest

from service.commands.cxr import main
from tests.support.server.serving import ROOT


@pytest.fixture
def started(monkeypatch):
    """What `cxr serve` with these options would execute, and where."""

    def run(*options):
        calls = []
        monkeypatch.setattr(os, "chdir", calls.append)
        monkeypatch.setattr(os, "execv", lambda _path, command: calls.append(command))
        assert main(["serve", *options]) == 0
        return calls

    return run


def test_the_server_starts_in_the_folder_of_the_service(started):
    serve = [sys.executable, "-m", "bentoml", "serve", "service.app:ChestXrayService"]
    assert started() == [ROOT, [*serve, "--host", "127.0.0.1", "--port", "3000"]]
    assert started("--host", "0.0.0.0", "--port", "8080") == [ROOT, [*serve, "--host", "0.0.0.0", "--port", "8080"]]


def test_a_certificate_is_served_under_tls_1_3_alone(started, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "getcwd", lambda: str(tmp_path))
    _, command = started("--cert", "cert.pem", "--key", "/etc/key.pem")
    assert command[-6:] == ["--ssl-certfile", f"{tmp_path}/cert.pem", "--ssl-keyfile", "/etc/key.pem", "--ssl-ciphers", "kPSK"]


@pytest.mark.parametrize("given", ["--cert", "--key"])
def test_the_server_is_told_of_one_file_without_the_other(started, given):
    _, command = started(given, "/etc/file.pem")
    assert {"--ssl-certfile", "--ssl-keyfile", "/etc/file.pem", ""} <= set(command)
