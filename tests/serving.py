"""`bentoml serve` as a process: started on a free loopback port, always ended with all its children."""

import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import psutil

ROOT = Path(__file__).parent.parent

# A start takes seconds; a busy machine may need many times that.
START_LIMIT_SECONDS = 120
STOP_LIMIT_SECONDS = 20


@contextmanager
def serving(environment: Mapping[str, str] = os.environ, wait_for: str = "/readyz") -> Iterator[str]:
    """Run the service with this environment; yields its address once `wait_for` answers 200."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryFile() as log:
        server = _start(port, environment, log)
        try:
            _wait(server, address + wait_for, log)
            yield address
        finally:
            _stop(server)


def failed_start(environment: Mapping[str, str]) -> tuple[int, str]:
    """Exit status and output of a start that ends by itself; raises TimeoutExpired if it does not."""
    with tempfile.TemporaryFile() as log:
        server = _start(free_port(), environment, log)
        try:
            status = server.wait(START_LIMIT_SECONDS)
        finally:
            _stop(server)
        log.seek(0)
        return status, log.read().decode(errors="replace")


def free_port() -> int:
    """A loopback port that nobody listens on at this moment."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _start(port: int, environment: Mapping[str, str], log: IO[bytes]) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "bentoml", "serve", "service.app:ChestXrayService", "--host", "127.0.0.1"]
    return subprocess.Popen(
        [*command, "--port", str(port)], cwd=ROOT, env=dict(environment), stdout=log, stderr=log, start_new_session=True
    )


def _wait(server: "subprocess.Popen[bytes]", url: str, log: IO[bytes]) -> None:
    deadline = time.monotonic() + START_LIMIT_SECONDS
    between_attempts = threading.Event()
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            between_attempts.wait(0.1)
    log.seek(0)
    raise AssertionError(f"{url} did not answer 200; the server's log:\n{log.read().decode(errors='replace')}")


def _stop(server: "subprocess.Popen[bytes]") -> None:
    # The workers lead process groups of their own, so ending the group that was started would leave them behind.
    family = psutil.Process(server.pid).children(recursive=True) if server.poll() is None else []
    server.terminate()
    try:
        server.wait(STOP_LIMIT_SECONDS)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()
    for process in psutil.wait_procs(family, timeout=STOP_LIMIT_SECONDS)[1]:
        process.kill()
