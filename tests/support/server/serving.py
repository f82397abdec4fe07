"""`bentoml serve` as a process: started on a free loopback port, always ended with all its children."""

import os
import random
import re
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import httpx
import psutil

from tests.support.waiting import eventually

ROOT = Path(__file__).resolve().parents[3]

# A start takes seconds; a busy machine may need many times that.
START_LIMIT_SECONDS = 120
STOP_LIMIT_SECONDS = 20


def environment_without_settings() -> dict[str, str]:
    """This process's environment, without the settings of a service that its user may have set."""
    return {name: value for name, value in os.environ.items() if not name.startswith("CXR_")}


@dataclass(frozen=True)
class ServerProcess:
    """A running `bentoml serve`. log: what it printed so far."""

    process: "subprocess.Popen[bytes]"
    address: str
    _log: IO[bytes]

    def log(self) -> str:
        """All that it has printed."""
        self._log.seek(0)
        return self._log.read().decode(errors="replace")

    def metric(self, pattern: str) -> float:
        """Sum of the series whose names and labels begin with this regular expression."""
        lines = httpx.get(f"{self.address}/metrics", timeout=60).text.splitlines()
        return sum(float(line.split()[-1]) for line in lines if re.match(pattern, line))


@contextmanager
def served(
    settings: Mapping[str, str], wait_for: str = "/readyz", options: Sequence[str] = (), tree: Path = ROOT
) -> Iterator[ServerProcess]:
    """Run the service with these settings of its own; yields it once `wait_for` answers 200.

    Its records end with it, unless the settings name a database. options: of `bentoml serve`. tree: the repository whose
    service runs.
    """
    port = free_port()
    scheme = "https" if "--ssl-certfile" in options else "http"
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as log:
        environment = environment_without_settings() | {"CXR_DATABASE_URL": f"sqlite:///{folder}/records.db"} | dict(settings)
        server = ServerProcess(_start(port, environment, log, options, tree), f"{scheme}://127.0.0.1:{port}", log)
        try:
            _wait(server.process, server.address + wait_for, log)
            yield server
        finally:
            _stop(server.process)


def failed_start(environment: Mapping[str, str], options: Sequence[str] = (), port: int | None = None) -> tuple[int, str]:
    """Exit status and output of a start that ends by itself; raises TimeoutExpired if it does not."""
    with tempfile.TemporaryFile() as log:
        server = _start(free_port() if port is None else port, environment, log, options)
        try:
            status = server.wait(START_LIMIT_SECONDS)
        finally:
            _stop(server)
        log.seek(0)
        return status, log.read().decode(errors="replace")


def free_port() -> int:
    """A loopback port that nobody listens on at this moment.

    Below 32768, where the kernel takes the ports of clients' connections from: one of those could come before the server.
    Tests that run side by side choose among different ports, and none twice: the generators that code under test seeds have
    no part in it.
    """
    for port in _PORTS:
        with socket.socket() as listener, suppress(OSError):
            listener.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no free port was found")


def _ports() -> list[int]:
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    ports = list(range(20_000 + worker, 32_000, workers))
    return random.Random(os.getpid()).sample(ports, len(ports))


# An iterator: what it gave once, it does not give again.
_PORTS = iter(_ports())


def _start(
    port: int, environment: Mapping[str, str], log: IO[bytes], options: Sequence[str] = (), tree: Path = ROOT
) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "bentoml", "serve", "service.app:ChestXrayService", "--host", "127.0.0.1"]
    return subprocess.Popen(
        [*command, "--port", str(port), *options],
        cwd=tree,
        env=dict(environment),
        stdout=log,
        stderr=log,
        start_new_session=True,
    )


def answers(url: str) -> bool:
    """Whether a server answers 200."""
    try:
        # A test's own certificate is not what is being waited for.
        return httpx.get(url, timeout=5, verify=False).is_success
    except httpx.TransportError:
        return False


def _wait(server: "subprocess.Popen[bytes]", url: str, log: IO[bytes]) -> None:
    eventually(lambda: answers(url) or server.poll() is not None, patience_seconds=START_LIMIT_SECONDS)
    if not answers(url):
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
