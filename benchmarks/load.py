"""The load client: a process of its own, so that its CPU time is not counted as the server's."""

import asyncio
import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter, process_time

import aiohttp

from benchmarks.server import ServerFailed

# Longer than the servers' own limits, so that they answer with the reason.
ANSWER_LIMIT_SECONDS = 150.0


@dataclass(frozen=True)
class Load:
    """Measurements of the client."""

    latencies_ms: tuple[float, ...]  # one for each request, from sending it to its whole answer
    seconds: float  # of all requests together
    client_cpu_seconds: float  # of the client process, which shares the machine with the server


def client_process() -> ProcessPoolExecutor:
    """The client process, for as long as the `with` block runs."""
    return ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))


def send(client: ProcessPoolExecutor, url: str, bodies: Sequence[str], content_type: str, clients: int, requests: int) -> Load:
    """Send POST requests from the client process.

    bodies: files whose contents are sent in turn.
    clients: how many send at once, each on a connection that it keeps.
    requests: how many are sent, by all clients together.

    Raises ServerFailed for an answer other than 200: a refusal costs less than an answer, and must not count as one.
    """
    return client.submit(_run, url, bodies, content_type, clients, requests).result()


def _run(url: str, bodies: Sequence[str], content_type: str, clients: int, requests: int) -> Load:
    try:
        return asyncio.run(_drive(url, [Path(path).read_bytes() for path in bodies], content_type, clients, requests))
    except* (ServerFailed, aiohttp.ClientError, TimeoutError) as faults:
        fault = f"{url}: {faults.exceptions[0]!r}"
    raise ServerFailed(fault)


async def _drive(url: str, bodies: Sequence[bytes], content_type: str, clients: int, requests: int) -> Load:
    turns = iter(range(requests))
    latencies_ms: list[float] = []

    async def client(session: aiohttp.ClientSession) -> None:
        for turn in turns:
            start = perf_counter()
            async with session.post(url, data=bodies[turn % len(bodies)]) as answer:
                content = await answer.read()
                if answer.status != 200:
                    raise ServerFailed(f"answered {answer.status}: {content[:500]!r}")
            latencies_ms.append(1000 * (perf_counter() - start))

    timeout = aiohttp.ClientTimeout(total=ANSWER_LIMIT_SECONDS)
    connector = aiohttp.TCPConnector(limit=clients)
    headers = {"Content-Type": content_type}
    async with aiohttp.ClientSession(connector=connector, timeout=timeout, headers=headers) as session:
        start, cpu = perf_counter(), process_time()
        async with asyncio.TaskGroup() as group:
            for _ in range(clients):
                group.create_task(client(session))
        return Load(tuple(latencies_ms), perf_counter() - start, process_time() - cpu)
