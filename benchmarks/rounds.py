"""The measured rounds: in-process, service and baselines in turn, each for a second or so, many times."""

from collections.abc import Mapping, Sequence

from tqdm import tqdm

from benchmarks.awake import can_keep_awake, cores_kept_awake
from benchmarks.films import MULTIPART_TYPE, RAW_TYPE
from benchmarks.inprocess import InProcess
from benchmarks.load import Job, LoadClient
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
    awake_cells = AWAKE_CELLS if can_keep_awake() else ()
    usual, awake = [], []
    with tqdm(total=rounds * (len(CELLS) + len(awake_cells)), unit="cell", desc="rounds") as progress:

        def measure_round(cells: Sequence[Cell]) -> _Round:
            in_process_cpu_seconds, samples = in_process.cpu_seconds_per_film(films, requests), {}
            for cell in cells:
                samples[cell] = measure(cell, requests, servers[cell.server], bodies[cell.body], client)
                progress.update()
            return in_process_cpu_seconds, samples

        for _ in range(rounds):
            usual.append(measure_round(CELLS))
            if awake_cells:
                with cores_kept_awake():
                    awake.append(measure_round(awake_cells))
    return _together(usual, awake=_together(awake) if awake else None)


# CPU seconds per film in-process, and the samples of the cells.
_Round = tuple[float, dict[Cell, Sample]]


def _together(rounds: Sequence[_Round], awake: Rounds | None = None) -> Rounds:
    cells = {cell: tuple(samples[cell] for _, samples in rounds) for cell in rounds[0][1]}
    return Rounds(tuple(cpu_seconds for cpu_seconds, _ in rounds), cells, awake)


def measure(cell: Cell, requests: int, server: Server, bodies: tuple[str, ...], client: LoadClient) -> Sample:
    """Measure one cell: send its requests to its server."""
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
