"""The measured rounds: in-process, service and baselines in turn, each for a second or so, many times."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor

from tqdm import tqdm

from benchmarks.films import MULTIPART_TYPE, RAW_TYPE
from benchmarks.inprocess import InProcess
from benchmarks.load import send
from benchmarks.server import Server
from benchmarks.summary import (
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

CLIENTS = (1, 4, 16)

CELLS = (
    *(Cell(SERVICE, PREDICT, body, clients) for body in (RAW, MULTIPART) for clients in CLIENTS),
    *(Cell(SERVICE, EXPLAIN, RAW, clients) for clients in CLIENTS),
    *(Cell(server, PREDICT, MULTIPART, clients) for server in (BASELINE, BASELINE_TUNED) for clients in (1, 16)),
)

_CONTENT_TYPES = {RAW: RAW_TYPE, MULTIPART: MULTIPART_TYPE}


def measure_rounds(
    rounds: int,
    requests: int,
    servers: Mapping[str, Server],
    in_process: InProcess,
    films: Sequence[bytes],
    bodies: Mapping[str, tuple[str, ...]],
    client: ProcessPoolExecutor,
) -> Rounds:
    """Measure every cell, and the same films in-process, once in each round.

    requests: of one cell in one round; as many films are judged in-process.
    bodies: RAW and MULTIPART -> files with the bodies of `films`.
    """
    in_process_cpu_seconds: list[float] = []
    samples: dict[Cell, list[Sample]] = {cell: [] for cell in CELLS}
    with tqdm(total=rounds * len(CELLS), unit="cell", desc="rounds") as progress:
        for _ in range(rounds):
            in_process_cpu_seconds.append(in_process.cpu_seconds_per_film(films, requests))
            for cell in CELLS:
                samples[cell].append(measure(cell, requests, servers[cell.server], bodies[cell.body], client))
                progress.update()
    return Rounds(tuple(in_process_cpu_seconds), {cell: tuple(of_cell) for cell, of_cell in samples.items()})


def measure(cell: Cell, requests: int, server: Server, bodies: tuple[str, ...], client: ProcessPoolExecutor) -> Sample:
    """Measure one cell: send its requests to its server."""
    cpu_seconds = server.cpu_seconds()
    load = send(client, server.url + cell.route, bodies, _CONTENT_TYPES[cell.body], cell.clients, requests)
    return Sample(load, server.cpu_seconds() - cpu_seconds)
