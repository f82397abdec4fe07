"""The whole benchmark: what is measured, how often, in which order."""

import signal
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from benchmarks import report, server
from benchmarks.conditions import read_conditions
from benchmarks.films import jpeg_films, multipart_body, write_bodies
from benchmarks.inprocess import InProcess
from benchmarks.inputs import input_costs
from benchmarks.load import client_process
from benchmarks.overload import overload_curve
from benchmarks.rounds import measure, measure_rounds
from benchmarks.summary import BASELINE, BASELINE_TUNED, EXPLAIN, MULTIPART, PREDICT, RAW, SERVICE, Cell, Measurements
from service.model.bundle import ModelBundle
from service.model.releases import locate_bundle

FILM_SIZE_PX = 512
LARGE_FILM_SIZE_PX = 2048

# Different films of either size.
FILMS = 12
LARGE_FILMS = 3


@dataclass(frozen=True)
class Effort:
    """How much to measure."""

    rounds: int  # of load and of overload; also how often the service is started
    requests: int  # of one cell in one round, as many films in-process, and as many to warm up each server
    overload_seconds: float  # for each number of clients in one round
    endurance_requests: int  # over which memory may grow


# 600 requests of each cell, so that a 99th percentile has six slower ones.
FULL = Effort(rounds=5, requests=120, overload_seconds=3.0, endurance_requests=20_000)
# Shows that everything runs; its results are rough.
QUICK = Effort(rounds=1, requests=32, overload_seconds=2.0, endurance_requests=200)


def benchmark(setting: str | None, effort: Effort, out: Path) -> str:
    """Measure a bundle, write `out` with the Markdown beside it, and return the Markdown.

    setting: folder or store tag of the bundle; None: the release that is served.
    Raises BundleError or ServerFailed. A target that is missed is a result, not a failure.
    """
    # Ended by SIGTERM, Python would skip the `finally` that ends the servers.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    bundle = ModelBundle.open(locate_bundle(setting))
    conditions = read_conditions(bundle.manifest)
    measurements = measure_all(bundle, effort)
    report.write(out, conditions, measurements)
    return report.render_markdown(conditions, measurements)


def measure_all(bundle: ModelBundle, effort: Effort) -> Measurements:
    """Stages in-process, starts of the service, its memory, and the rounds of load."""
    films = jpeg_films(FILM_SIZE_PX, FILMS)
    in_process = InProcess(bundle)
    stages = {
        FILM_SIZE_PX: in_process.stage_costs(films, effort.requests),
        LARGE_FILM_SIZE_PX: in_process.stage_costs(jpeg_films(LARGE_FILM_SIZE_PX, LARGE_FILMS), effort.requests // 4),
    }
    start_seconds = [measure_start(bundle) for _ in tqdm(range(effort.rounds), unit="start", desc="starts")]
    with ExitStack() as running:
        folder = Path(running.enter_context(tempfile.TemporaryDirectory()))
        bodies = {
            RAW: write_bodies(folder / RAW, films),
            MULTIPART: write_bodies(folder / MULTIPART, [multipart_body(film) for film in films]),
        }
        client = running.enter_context(client_process())
        served = running.enter_context(server.service(bundle.path))
        measure(Cell(SERVICE, PREDICT, RAW, 16), effort.requests, served, bodies[RAW], client)
        before_explaining = served.memory_bytes()
        # The first explanation loads PyTorch; alone, so that it delays no other.
        for clients, requests in ((1, 1), (16, effort.requests)):
            measure(Cell(SERVICE, EXPLAIN, RAW, clients), requests, served, bodies[RAW], client)
        after_explaining = served.memory_bytes()
        servers = {
            SERVICE: served,
            BASELINE: running.enter_context(server.baseline(bundle.path, torch_threads=None)),
            BASELINE_TUNED: running.enter_context(server.baseline(bundle.path, torch_threads=1)),
        }
        for name in (BASELINE, BASELINE_TUNED):
            measure(Cell(name, PREDICT, MULTIPART, 16), effort.requests, servers[name], bodies[MULTIPART], client)
        rounds = measure_rounds(effort.rounds, effort.requests, servers, in_process, films, bodies, client)
    with tempfile.TemporaryDirectory() as film_folder, server.service(bundle.path) as pressed:
        [film_path] = write_bodies(Path(film_folder) / RAW, films[:1])
        endurance = memory_over(pressed, effort.endurance_requests, (film_path,))
        overload = [
            overload_curve(pressed, Path(film_path), effort.overload_seconds)
            for _ in tqdm(range(effort.rounds), unit="round", desc="overload")
        ]
    return Measurements(
        stages=stages,
        start_seconds=tuple(start_seconds),
        memory_bytes=(before_explaining, after_explaining),
        rounds=rounds,
        inputs=input_costs(bundle, effort.rounds * 3),
        overload=overload,
        endurance_bytes=endurance,
        endurance_requests=effort.endurance_requests,
    )


def memory_over(running: server.Server, requests: int, bodies: tuple[str, ...]) -> tuple[int, int]:
    """Memory of the service after a tenth of the requests, when it has allocated what it needs, and after all of them."""
    cell = Cell(SERVICE, PREDICT, RAW, 16)
    with client_process() as client:
        measure(cell, requests // 10, running, bodies, client)
        before = running.memory_bytes()
        measure(cell, requests - requests // 10, running, bodies, client)
        return before, running.memory_bytes()


def measure_start(bundle: ModelBundle) -> float:
    """Seconds from starting the service's process to its being ready."""
    with server.service(bundle.path) as started:
        return started.start_seconds
