"""A server as a process: started on a free loopback port, watched with all its children, and always ended."""

import http.client
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import psutil

HOST = "127.0.0.1"
READY_PATH = "/readyz"
ROOT = Path(__file__).resolve().parent.parent

# Well beyond any start that is worth measuring.
START_LIMIT_SECONDS = 120.0
# Just below the one that BentoML itself is given.
SERVICE_LIMIT_SECONDS = 110
# BentoML lets requests end before it stops.
STOP_LIMIT_SECONDS = 15.0
# Asking whether the server is ready takes CPU from its start, so not more often than its start-up time needs to be told apart.
READY_POLL_SECONDS = 0.02

# Whoever measures may have set these for other work: with them, neither server would run as it does by default.
_NOT_INHERITED = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


class ServerFailed(RuntimeError):
    """A server or a client of the benchmark ended, or did not become ready."""


@dataclass(frozen=True)
class Memory:
    """Memory of all processes of a server, in bytes.

    rss: resident; pages that processes share count once for each. pss: shared pages split among those that share them, so that
    the sum is what the server really takes; uss: pages of one process only. None where the system does not tell.
    """

    processes: int
    rss_bytes: int
    pss_bytes: int | None
    uss_bytes: int | None


@dataclass(frozen=True)
class Server:
    """A running server. start_seconds: from starting its process to READY_PATH answering 200."""

    process: psutil.Popen
    url: str
    start_seconds: float

    def cpu_seconds(self) -> float:
        """CPU seconds, user and system, that all its processes have used so far, ended ones included."""
        used = (process.cpu_times() for process in _family(self.process))
        return sum(times.user + times.system + times.children_user + times.children_system for times in used)

    def memory(self) -> Memory:
        """Memory of all its processes now."""
        infos = [process.memory_full_info() for process in _family(self.process)]
        return Memory(
            processes=len(infos),
            rss_bytes=sum(info.rss for info in infos),
            pss_bytes=_total(infos, "pss"),
            uss_bytes=_total(infos, "uss"),
        )


@contextmanager
def service(bundle_path: Path) -> Iterator[Server]:
    """The service as its users run it, `bentoml serve`, on the given bundle.

    Settings are the defaults but for the time limit: on a machine that is busy otherwise, answers come late, and all count.
    """
    port = free_port()
    command = ["-m", "bentoml", "serve", "service.app:ChestXrayService", "--host", HOST, "--port", str(port)]
    with tempfile.TemporaryDirectory() as folder:
        environment = {
            "CXR_BUNDLE": str(bundle_path.resolve()),
            "CXR_TIMEOUT_SECONDS": str(SERVICE_LIMIT_SECONDS),
            # Records as by default, in SQLite, but of this run alone.
            "CXR_DATABASE_URL": f"sqlite:///{folder}/records.db",
        }
        with _running(command, port, environment) as server:
            yield server


@contextmanager
def baseline(bundle_path: Path, torch_threads: int | None) -> Iterator[Server]:
    """The server to compare with, for the bundle's architecture.

    torch_threads: threads of one model run; None leaves PyTorch's default.
    """
    port = free_port()
    command = ["-m", "benchmarks.baseline_fastapi", "--bundle", str(bundle_path.resolve()), "--port", str(port)]
    if torch_threads is not None:
        command += ["--torch-threads", str(torch_threads)]
    with _running(command, port, {}) as server:
        yield server


def free_port() -> int:
    """A loopback port that nobody listens on at this moment."""
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
            start_new_session=True,  # an interrupt from the keyboard reaches the benchmark alone, which then ends the server
        )
        try:
            _wait_until_ready(process, port, start, log)
            yield Server(process=process, url=f"http://{HOST}:{port}", start_seconds=time.perf_counter() - start)
        finally:
            _end(process)


def _wait_until_ready(process: psutil.Popen, port: int, start: float, log: IO[str]) -> None:
    while not _is_ready(port):
        if process.poll() is not None or time.perf_counter() - start > START_LIMIT_SECONDS:
            log.seek(0)
            last_lines = "".join(log.readlines()[-20:])
            raise ServerFailed(
                f"The server did not become ready within {START_LIMIT_SECONDS:g} s; its last output was:\n{last_lines}"
            )
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
    family = _family(process) if process.is_running() else [process]
    process.terminate()
    _, alive = psutil.wait_procs(family, timeout=STOP_LIMIT_SECONDS)
    for survivor in alive:
        survivor.kill()
    psutil.wait_procs(alive, timeout=STOP_LIMIT_SECONDS)


def _total(infos: Sequence[object], field: str) -> int | None:
    """Sum of a field that not every system tells."""
    if not all(hasattr(info, field) for info in infos):
        return None
    return sum(getattr(info, field) for info in infos)


def _family(process: psutil.Popen) -> list[psutil.Process]:
    return [process, *process.children(recursive=True)]
