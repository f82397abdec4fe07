"""Runs a server as a process on a free loopback port, measures it with all its children, and always ends it."""

import http.client
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import psutil

from service.film.errors import ChestXrayError

HOST = "127.0.0.1"
READY_PATH = "/readyz"
ROOT = Path(__file__).resolve().parent.parent

# Far longer than any start.
START_LIMIT_SECONDS = 120.0
# Of the service for one request; just below the limit that BentoML itself is given.
SERVICE_LIMIT_SECONDS = 110
# BentoML lets requests end before it stops.
STOP_LIMIT_SECONDS = 15.0
# The resolution of start times; polling more often would take CPU from the server that starts.
READY_POLL_SECONDS = 0.02

# May be set for other work on this machine, and would change how both servers run.
_NOT_INHERITED = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


class ServerFailed(ChestXrayError):
    """A server of the benchmark ended, did not become ready, or did not answer with 200."""


@dataclass(frozen=True)
class Server:
    """A running server."""

    process: psutil.Popen  # the first of its processes
    url: str  # its address
    start_seconds: float  # from the start of its process until READY_PATH answers 200

    def cpu_seconds(self) -> float:
        """CPU seconds, user and system, that all its processes have used so far, ended ones included."""
        used = (process.cpu_times() for process in _family(self.process))
        return sum(times.user + times.system + times.children_user + times.children_system for times in used)

    def memory_bytes(self) -> int:
        """Resident memory of all its processes now; shared pages count once for each process."""
        return sum(process.memory_info().rss for process in _family(self.process))


@contextmanager
def service(bundle_path: Path) -> Iterator[Server]:
    """The service as its users run it, `bentoml serve`, on the given bundle.

    Settings are the defaults but for the time limit, since answers on a busy machine come late, and all count.
    """
    port = free_port()
    command = ["-m", "bentoml", "serve", "service.app:ChestXrayService", "--host", HOST, "--port", str(port)]
    with tempfile.TemporaryDirectory() as folder:
        environment = {
            "CXR_BUNDLE": str(bundle_path.resolve()),
            "CXR_TIMEOUT_SECONDS": str(SERVICE_LIMIT_SECONDS),
            # In SQLite as by default, but for this run alone.
            "CXR_DATABASE_URL": f"sqlite:///{folder}/records.db",
        }
        with _running(command, port, environment) as server:
            yield server


@contextmanager
def baseline(bundle_path: Path, torch_threads: int | None) -> Iterator[Server]:
    """The baseline server, for the bundle's architecture.

    torch_threads: threads of one model run; None leaves PyTorch's default.
    """
    port = free_port()
    # No access log, as in the service.
    options = ["--port", str(port), "--no-access-log", "--log-level", "warning"]
    environment = {"BASELINE_BUNDLE": str(bundle_path.resolve())}
    if torch_threads is not None:
        environment["BASELINE_TORCH_THREADS"] = str(torch_threads)
    with _running(
        ["-m", "uvicorn", "--factory", "benchmarks.baseline_fastapi:create_app", *options], port, environment
    ) as server:
        yield server


def free_port() -> int:
    """A loopback port that is free at this moment."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


@contextmanager
def _running(arguments: Sequence[str], port: int, environment: Mapping[str, str]) -> Iterator[Server]:
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith("CXR_") and name not in _NOT_INHERITED
    }
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as log:
        start = time.perf_counter()
        process = psutil.Popen(
            [sys.executable, *arguments],
            cwd=ROOT,
            env={**inherited, **environment},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C reaches the benchmark alone, which then ends the server
        )
        try:
            _wait_until_ready(process, port, start, log)
            yield Server(process=process, url=f"http://{HOST}:{port}", start_seconds=time.perf_counter() - start)
        finally:
            _end(process)


def _wait_until_ready(process: psutil.Popen, port: int, start: float, log: IO[str]) -> None:
    while not _is_ready(port):
        has_ended = process.poll() is not None
        if has_ended or time.perf_counter() - start > START_LIMIT_SECONDS:
            fault = "ended before it was ready" if has_ended else f"did not become ready within {START_LIMIT_SECONDS:g} s"
            log.seek(0)
            last_lines = "".join(log.readlines()[-20:])
            raise ServerFailed(f"The server {fault}; its last output was:\n{last_lines}")
        time.sleep(READY_POLL_SECONDS)


def _is_ready(port: int) -> bool:
    connection = http.client.HTTPConnection(HOST, port, timeout=START_LIMIT_SECONDS)
    try:
        connection.request("GET", READY_PATH)
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _end(process: psutil.Popen) -> None:
    """Ask the server to stop, then make sure of it: BentoML's workers lead sessions of their own."""
    family: list[psutil.Process] = [process]
    with suppress(psutil.NoSuchProcess):  # it may have ended by itself
        family = _family(process)
        process.terminate()
    _, alive = psutil.wait_procs(family, timeout=STOP_LIMIT_SECONDS)
    for survivor in alive:
        survivor.kill()
    psutil.wait_procs(alive, timeout=STOP_LIMIT_SECONDS)


def _family(process: psutil.Popen) -> list[psutil.Process]:
    return [process, *process.children(recursive=True)]
