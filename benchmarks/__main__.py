"""`python -m benchmarks [--bundle PATH] [--quick] [--out benchmarks/results/latest.json]`: measure, print, store."""

import argparse
import signal
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from benchmarks import report, server
from benchmarks.chain import chain_cpu_ms
from benchmarks.conditions import read_conditions
from benchmarks.figures import BASELINE, BASELINE_TUNED, EXPLAIN, MULTIPART, PREDICT, RAW, SERVICE, Cell, Measurements
from benchmarks.films import jpeg_films, multipart_body, write_bodies
from benchmarks.inprocess import InProcess
from benchmarks.inputs import input_costs
from benchmarks.load import LoadClient
from benchmarks.overload import overload_curve
from benchmarks.rounds import measure, measure_rounds
from benchmarks.server import Memory
from service.model.bundle import ModelBundle
from service.model.errors import BundleError
from service.model.releases import locate_bundle

FILM_SIZE_PX = 512
LARGE_FILM_SIZE_PX = 2048

DEFAULT_OUT = Path(__file__).parent / "results" / "latest.json"


@dataclass(frozen=True)
class Effort:
    """How much to measure.

    requests: of one cell in one round, and films in-process in one round. warm_up_requests: before anything counts.
    """

    starts: int
    rounds: int
    requests: int
    warm_up_requests: int
    films: int
    large_films: int
    chain_requests: int
    overload_rounds: int
    overload_seconds: float
    endurance_requests: int


# 600 requests of each cell, so that a 99th percentile has six slower ones.
FULL = Effort(
    starts=5,
    rounds=5,
    requests=120,
    warm_up_requests=100,
    films=12,
    large_films=3,
    chain_requests=3200,
    overload_rounds=5,
    overload_seconds=3.0,
    endurance_requests=20_000,
)
# Shows that everything runs; its figures are rough.
QUICK = Effort(
    starts=1,
    rounds=1,
    requests=32,
    warm_up_requests=20,
    films=3,
    large_films=1,
    chain_requests=320,
    overload_rounds=1,
    overload_seconds=2.0,
    endurance_requests=200,
)


def main(argv: list[str]) -> int:
    """Measure and report. Exit status 1 says that nothing was measured; a target that is missed is a result, not a failure."""
    arguments = _parse(argv)
    # Ended from outside, Python would skip the `finally` that ends the servers.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        bundle = ModelBundle.open(locate_bundle(arguments.bundle))
        conditions = read_conditions(bundle.manifest)
        measurements = measure_all(bundle, QUICK if arguments.quick else FULL)
    except (BundleError, server.ServerFailed) as fault:
        print(fault, file=sys.stderr)
        return 1
    report.write(arguments.out, conditions, measurements)
    print(report.render_markdown(conditions, measurements))
    return 0


def measure_all(bundle: ModelBundle, effort: Effort) -> Measurements:
    """Stages in-process, starts of the service, its memory, and the rounds of load."""
    films = jpeg_films(FILM_SIZE_PX, effort.films)
    in_process = InProcess(bundle)
    stages = {
        FILM_SIZE_PX: in_process.stage_costs(films, effort.requests),
        LARGE_FILM_SIZE_PX: in_process.stage_costs(jpeg_films(LARGE_FILM_SIZE_PX, effort.large_films), effort.requests // 4),
    }
    start_seconds = [measure_start(bundle) for _ in tqdm(range(effort.starts), unit="start", desc="starts")]
    with ExitStack() as running:
        folder = Path(running.enter_context(tempfile.TemporaryDirectory()))
        bodies = {
            RAW: write_bodies(folder / RAW, films),
            MULTIPART: write_bodies(folder / MULTIPART, [multipart_body(film) for film in films]),
        }
        client = running.enter_context(LoadClient())
        served = running.enter_context(server.service(bundle.path))
        measure(Cell(SERVICE, PREDICT, RAW, 16), effort.warm_up_requests, served, bodies[RAW], client)
        memory = {"before_explain": served.memory()}
        # The very first explanation loads PyTorch; alone, so that it does not hold up others.
        for clients, requests in ((1, 1), (16, effort.warm_up_requests)):
            measure(Cell(SERVICE, EXPLAIN, RAW, clients), requests, served, bodies[RAW], client)
        memory["after_explain"] = served.memory()
        servers = {
            SERVICE: served,
            BASELINE: running.enter_context(server.baseline(bundle.path, torch_threads=None)),
            BASELINE_TUNED: running.enter_context(server.baseline(bundle.path, torch_threads=1)),
        }
        for name in (BASELINE, BASELINE_TUNED):
            measure(Cell(name, PREDICT, MULTIPART, 16), effort.warm_up_requests, servers[name], bodies[MULTIPART], client)
        rounds = measure_rounds(effort.rounds, effort.requests, servers, in_process, films, bodies, client)
        memory["after_all"] = served.memory()
    with tempfile.TemporaryDirectory() as film_folder, server.service(bundle.path) as pressed:
        [film_path] = write_bodies(Path(film_folder) / RAW, films[:1])
        overload = [
            overload_curve(pressed, Path(film_path), effort.overload_seconds)
            for _ in tqdm(range(effort.overload_rounds), unit="round", desc="overload")
        ]
        endurance = memory_over(pressed, Cell(SERVICE, PREDICT, RAW, 16), effort.endurance_requests, (film_path,))
    return Measurements(
        stages=stages,
        start_seconds=tuple(start_seconds),
        memory=memory,
        rounds=rounds,
        chain_cpu_ms={at_once: chain_cpu_ms(effort.chain_requests, at_once) for at_once in (1, 16)},
        inputs=input_costs(bundle, effort.large_films * 5),
        overload=overload,
        endurance=endurance,
    )


def memory_over(running: server.Server, cell: Cell, requests: int, bodies: tuple[str, ...]) -> tuple[Memory, Memory]:
    """Memory of the service after a tenth of so many requests, when it has what it needs, and after all of them."""
    with LoadClient() as client:
        measure(cell, requests // 10, running, bodies, client)
        before = running.memory()
        measure(cell, requests - requests // 10, running, bodies, client)
        return before, running.memory()


def measure_start(bundle: ModelBundle) -> float:
    """Seconds from starting the service's process to its being ready."""
    with server.service(bundle.path) as started:
        return started.start_seconds


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Speed and size of the service.")
    parser.add_argument("--bundle", help="folder of a bundle, or a tag of BentoML's model store; default: the newest release")
    parser.add_argument("--quick", action="store_true", help="a minute's run that shows that everything works; rough figures")
    parser.add_argument("--out", type=Path, default=DEFAULT_OUT, help="JSON to write, with the same as Markdown beside it")
    return parser.parse_args(argv)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
