"""More load than the service can take: how many films it still judges, and with which latency.

The client is a process of its own. It sends bytes prepared beforehand and reads little more than the status, so that it can
send far more than a server on the same cores can answer.
"""

import asyncio
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from urllib.parse import urlsplit

import numpy as np

from benchmarks.server import Server

# 16 clients keep two cores busy. Ten times as many exceed what the service queues and judges at once.
OVERLOADING_CLIENTS = 160
CLIENTS = (4, 16, 40, OVERLOADING_CLIENTS, 640)


@dataclass(frozen=True)
class Pressure:
    """Result of one number of clients that send again as soon as they have an answer.

    p50_ms, p99_ms: latency of judged films.
    """

    clients: int
    judged_per_second: float  # answers with status 200
    refused_per_second: float  # answers with status 503
    other: int  # number of other answers and broken connections
    p50_ms: float
    p99_ms: float


def overload_curve(server: Server, film: Path, seconds: float) -> list[Pressure]:
    """One result for each of CLIENTS. seconds: to measure each of them."""
    parts = urlsplit(server.url)
    # A process for each number of clients: its end closes their connections.
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn, max_tasks_per_child=1) as client:
        return [
            client.submit(_press, str(parts.hostname), parts.port or 80, film.read_bytes(), clients, seconds).result()
            for clients in CLIENTS
        ]


def _press(host: str, port: int, film: bytes, clients: int, seconds: float) -> Pressure:
    return asyncio.run(_run(host, port, film, clients, seconds))


class _Client(asyncio.Protocol):
    """One connection, busy until the end."""

    def __init__(self, request: bytes, answers: list[tuple[int, float]]) -> None:
        self._request = request
        self._answers = answers
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._send()

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, blank, body = self._received.partition(b"\r\n\r\n")
        if not blank:
            return
        length = next(int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        if len(body) >= length:
            self._answers.append((int(head[9:12]), perf_counter() - self._sent))
            self._send()

    def connection_lost(self, fault: Exception | None) -> None:
        if fault is not None:
            self._answers.append((0, 0.0))

    def _send(self) -> None:
        self._received, self._sent = b"", perf_counter()
        self._transport.write(self._request)  # type: ignore[attr-defined]


async def _run(host: str, port: int, film: bytes, clients: int, seconds: float) -> Pressure:
    head = f"POST /predict HTTP/1.1\r\nHost: {host}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(film)}\r\n\r\n"
    answers: list[tuple[int, float]] = []
    loop = asyncio.get_running_loop()
    for _ in range(clients):
        await loop.create_connection(lambda: _Client(head.encode() + film, answers), host, port)
    await asyncio.sleep(seconds / 4)  # until the queue is as full as it gets
    answers.clear()
    start = perf_counter()
    await asyncio.sleep(seconds)
    taken = perf_counter() - start
    judged = [1000 * latency for status, latency in answers if status == 200]
    refused = sum(status == 503 for status, _ in answers)
    p50_ms, p99_ms = np.percentile(judged, (50, 99)) if judged else (float("nan"), float("nan"))
    other = len(answers) - len(judged) - refused
    return Pressure(clients, len(judged) / taken, refused / taken, other, float(p50_ms), float(p99_ms))
