"""The client: a process of its own, so that its CPU time is not counted as the server's.

`python -m benchmarks.load` reads jobs from standard input, one JSON object a line, and answers each with one line.
"""

import asyncio
import json
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter, process_time
from types import TracebackType
from typing import Self

import aiohttp

from benchmarks.server import ROOT, ServerFailed

# Beyond the servers' own limits, so that it is they who say what went wrong.
ANSWER_LIMIT_SECONDS = 150.0


@dataclass(frozen=True)
class Job:
    """`requests` POSTs to a URL by `clients` clients at once, each with a connection that it keeps.

    bodies: files whose contents are sent in turn, as content_type.
    """

    url: str
    bodies: tuple[str, ...]
    content_type: str
    clients: int
    requests: int


@dataclass(frozen=True)
class Load:
    """What a job measured. latencies_ms: one for each request, from sending it to its whole answer. seconds: of the whole job.

    client_cpu_seconds: of the client itself, which shares the machine with the server.
    """

    latencies_ms: tuple[float, ...]
    seconds: float
    client_cpu_seconds: float


class LoadClient:
    """The client process, for as long as the `with` block runs."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.load"], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._process.kill()
        self._process.communicate()

    def run(self, job: Job) -> Load:
        """Do one job. Raises ServerFailed if any answer is not 200: what a refusal costs is not what is measured."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(asdict(job)) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise ServerFailed(f"The client ended while it sent to {job.url}; its message is above.")
        answer = json.loads(line)
        if "fault" in answer:
            raise ServerFailed(answer["fault"])
        return Load(tuple(answer["latencies_ms"]), answer["seconds"], answer["client_cpu_seconds"])


async def drive(job: Job) -> Load:
    """Send the job's requests and measure them. Raises ServerFailed if any answer is not 200."""
    bodies = [Path(path).read_bytes() for path in job.bodies]
    turns = iter(range(job.requests))
    latencies_ms: list[float] = []

    async def client(session: aiohttp.ClientSession) -> None:
        for turn in turns:
            start = perf_counter()
            async with session.post(job.url, data=bodies[turn % len(bodies)]) as answer:
                content = await answer.read()
                if answer.status != 200:
                    raise ServerFailed(f"answered {answer.status}: {content[:500]!r}")
            latencies_ms.append(1000 * (perf_counter() - start))

    timeout = aiohttp.ClientTimeout(total=ANSWER_LIMIT_SECONDS)
    connector = aiohttp.TCPConnector(limit=job.clients)
    headers = {"Content-Type": job.content_type}
    async with aiohttp.ClientSession(connector=connector, timeout=timeout, headers=headers) as session:
        start, cpu = perf_counter(), process_time()
        async with asyncio.TaskGroup() as clients:
            for _ in range(job.clients):
                clients.create_task(client(session))
        return Load(tuple(latencies_ms), perf_counter() - start, process_time() - cpu)


def main() -> int:
    """Do the jobs of standard input."""
    for line in sys.stdin:
        fields = json.loads(line)
        job = Job(**(fields | {"bodies": tuple(fields["bodies"])}))
        try:
            answer = asdict(asyncio.run(drive(job)))
        except* (ServerFailed, aiohttp.ClientError, TimeoutError) as faults:
            answer = {"fault": f"{job.url}: {faults.exceptions[0]!r}"}
        print(json.dumps(answer), flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
