"""The measured rounds: in-process, service and baselines in turn, each for a second or so, again and again."""

from collections.abc import Mapping, Sequence

from tqdm import tqdm

from benchmarks.awake import can_keep_awake, cores_kept_awake
from benchmarks.figures import (
    BASELINE,
    BASELINE_TUNED,
    EXPLAIN,
    MULTIPART,
    PREDICT,
    RAW,
    SERVICE,
    Cell,
    Rounds,
    Sample,
)
from benchmarks.films import MULTIPART_TYPE, RAW_TYPE
from benchmarks.inprocess import InProcess
from benchmarks.load import Job, LoadClient
from benchmarks.server import Server

CLIENTS = (1, 4, 16)

CELLS = (
    *(Cell(SERVICE, PREDICT, body, clients) for body in (RAW, MULTIPART) for clients in CLIENTS),
    *(Cell(SERVICE, EXPLAIN, RAW, clients) for clients in CLIENTS),
    *(Cell(server, PREDICT, MULTIPART, clients) for server in (BASELINE, BASELINE_TUNED) for clients in (1, 16)),
)

AWAKE_CELLS = tuple(Cell(SERVICE, PREDICT, body, 1) for body in (RAW, MULTIPART))

_CONTENT_TYPES = {RAW: RAW_TYPE, MULTIPART: MULTIPART_TYPE}


def measure_rounds(
    rounds: int,
    requests: int,
    servers: Mapping[str, Server],
    in_process: InProcess,
    films: Sequence[bytes],
    bodies: Mapping[str, tuple[str, ...]],
    client: LoadClient,
) -> Rounds:
    """Measure every cell, and the same films in-process, once in each of so many rounds.

    requests: of one cell in one round, and films in-process. bodies: RAW and MULTIPART -> files with the bodies of `films`.
    """
    films_cpu_seconds: list[float] = []
    samples: dict[Cell, list[Sample]] = {cell: [] for cell in CELLS}
    awake_films_cpu_seconds: list[float] = []
    awake_samples: dict[Cell, list[Sample]] = {cell: [] for cell in AWAKE_CELLS if can_keep_awake()}
    with tqdm(total=rounds * (len(samples) + len(awake_samples)), unit="cell", desc="rounds") as progress:

        def measure_round(into: dict[Cell, list[Sample]], films_into: list[float]) -> None:
            films_into.append(in_process.cpu_seconds_per_film(films, requests))
            for cell, taken in into.items():
                taken.append(measure(cell, requests, servers[cell.server], bodies[cell.body], client))
                progress.update()

        for _ in range(rounds):
            measure_round(samples, films_cpu_seconds)
            if awake_samples:
                with cores_kept_awake():
                    measure_round(awake_samples, awake_films_cpu_seconds)
    return _rounds(films_cpu_seconds, samples, _rounds(awake_films_cpu_seconds, awake_samples) if awake_samples else None)


def _rounds(films_cpu_seconds: list[float], samples: dict[Cell, list[Sample]], awake: Rounds | None = None) -> Rounds:
    return Rounds(tuple(films_cpu_seconds), {cell: tuple(taken) for cell, taken in samples.items()}, awake)


def measure(cell: Cell, requests: int, server: Server, bodies: tuple[str, ...], client: LoadClient) -> Sample:
    """Put the cell's load on its server."""
    job = Job(
        url=server.url + cell.route,
        bodies=bodies,
        content_type=_CONTENT_TYPES[cell.body],
        clients=cell.clients,
        requests=requests,
    )
    cpu_seconds = server.cpu_seconds()
    load = client.run(job)
    return Sample(
        latencies_ms=load.latencies_ms,
        seconds=load.seconds,
        server_cpu_seconds=server.cpu_seconds() - cpu_seconds,
        client_cpu_seconds=load.client_cpu_seconds,
    )
