"""What `make` and the script of `make smoke` say to somebody who calls them wrongly."""

import os
import socket
import subprocess

import pytest

from tests.support.server.serving import ROOT


def run(*command, **environment):
    # As from a shell: `make test` hands its own flags and variables down.
    shell = {name: value for name, value in os.environ.items() if name not in {"MAKEFLAGS", "MAKELEVEL", "MFLAGS"}}
    return subprocess.run(command, cwd=ROOT, env=shell | environment, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize("target", ["train", "export", "evaluate", "retrain"])
def test_a_target_that_needs_films_asks_for_them_before_it_installs_anything(target):
    # An environment that does not exist: with the question asked too late, make would print how it builds it.
    done = run("make", "--dry-run", target, "DATA=", "DEV_ENV=absent")
    assert done.returncode == 2
    assert f"DATA is not given: make {target} DATA=folder. The folder holds train/, val/ and test/" in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("given", "passed_on"),
    [
        (["evaluate", "DATA=/data/my films"], 'cxr evaluate --data "/data/my films" --split test'),
        (["evaluate", "DATA=/data", "PARTS=quick"], '--split test --parts "quick"'),
        (["commission", "FILMS=/my films", "SITE=st-anna"], 'cxr commission "/my films" --site "st-anna"'),
        (["commission", "OPTIONS=--demo"], "cxr commission --demo"),
        (["serve", "CERT=my cert.pem"], '--cert "my cert.pem"'),
        (["serve", "KEY=key.pem"], '--key "key.pem"'),
    ],
)
def test_make_passes_on_what_it_is_given(given, passed_on):
    done = run("make", "--dry-run", *given, "DEV_ENV=absent")
    assert done.returncode == 0
    assert passed_on in " ".join(done.stdout.split())


@pytest.mark.parametrize("target", ["train", "export", "evaluate", "retrain", "ablate", "tune"])
@pytest.mark.parametrize(("before", "then"), [({}, "PASSIVE"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "ACTIVE")])
def test_threads_that_wait_sleep_unless_told_otherwise(target, before, then, tmp_path):
    """Beside other work, threads that spin take the processor from those that they wait for."""
    (tmp_path / "bin").mkdir()
    (tmp_path / ".installed").touch()
    cxr = tmp_path / "bin" / "cxr"
    cxr.write_text('#!/bin/sh\necho "waits: $OMP_WAIT_POLICY"\n')
    cxr.chmod(0o755)
    without = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    command = ["make", "--assume-old", str(tmp_path / ".installed"), target, "DATA=/data", f"DEV_ENV={tmp_path}"]
    done = subprocess.run(command, cwd=ROOT, env=without | before, capture_output=True, text=True, check=False, timeout=60)
    assert f"waits: {then}\n" in done.stdout


def test_the_readme_calls_are_not_tried_on_a_server_that_was_there_before():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
        done = run("tests/readme_calls.sh", PORT=port)
    assert done.returncode == 1
    assert done.stdout.startswith(f"Port {port} is taken by another process")
