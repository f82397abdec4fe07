"""Measurements, and their summaries, ratios and targets. Pure; measures nothing itself.

Machines are noisy, so everything is measured in short rounds that take turns. A ratio is taken within each round, where both
of its sides met the same noise, and then the median over the rounds.
"""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.inprocess import StageCost
from benchmarks.inputs import LARGE_JPEG, REFERENCE
from benchmarks.load import Load
from benchmarks.overload import OVERLOADING_CLIENTS, Pressure
from benchmarks.server import Memory

SERVICE = "service"
BASELINE = "baseline"
BASELINE_TUNED = "baseline, one thread a run"

PREDICT = "/predict"
EXPLAIN = "/predict/explain"

RAW = "raw"
MULTIPART = "multipart"

MEGABYTE = 1_000_000


@dataclass(frozen=True)
class Cell:
    """One kind of load."""

    server: str  # SERVICE or one of the baselines
    route: str  # PREDICT or EXPLAIN
    body: str  # RAW or MULTIPART
    clients: int  # at once


@dataclass(frozen=True)
class Sample:
    """One cell in one round."""

    load: Load  # as the client measured it
    server_cpu_seconds: float  # of all processes of the server

    @property
    def requests_per_second(self) -> float:
        """Throughput."""
        return len(self.load.latencies_ms) / self.load.seconds

    @property
    def cpu_seconds_per_request(self) -> float:
        """Of the server."""
        return self.server_cpu_seconds / len(self.load.latencies_ms)

    @property
    def p50_ms(self) -> float:
        """Median latency."""
        return statistics.median(self.load.latencies_ms)


@dataclass(frozen=True)
class Rounds:
    """Measurements of the rounds."""

    in_process_cpu_seconds: tuple[float, ...]  # per film, one for each round
    cells: dict[Cell, tuple[Sample, ...]]  # cell -> one sample for each round


@dataclass(frozen=True)
class Measurements:
    """All measurements of one run."""

    stages: dict[int, dict[str, StageCost]]  # size of the films in pixels -> stage -> cost
    start_seconds: tuple[float, ...]  # of each start of the service, until it is ready
    memory: dict[str, Memory]  # of the service, by moment: before_explain, after_explain, after_all
    rounds: Rounds  # of load
    chain_cpu_ms: Mapping[int, float]  # requests at once -> CPU of the middleware chain a request
    inputs: Mapping[str, tuple[float, float]]  # kind of film -> milliseconds, and ratio to REFERENCE
    overload: Sequence[Sequence[Pressure]]  # rounds of one measurement for each number of clients
    endurance: tuple[Memory, Memory]  # memory after a tenth of the endurance requests, and after all of them


@dataclass(frozen=True)
class CellSummary:
    """Summary of a cell: percentiles over the requests of all rounds, medians over the rounds of all other values.

    server, route, body, clients: of the cell.
    p50_ms, p95_ms, p99_ms: latency.
    server_cpu_ms_per_request, client_cpu_ms_per_request: CPU time.
    """

    server: str
    route: str
    body: str
    clients: int
    requests: int  # in all rounds
    p50_ms: float
    p95_ms: float
    p99_ms: float
    requests_per_second: float  # throughput
    server_cpu_ms_per_request: float
    client_cpu_ms_per_request: float
    cpu_ratio: float  # CPU seconds of the server per request over those in-process per film


@dataclass(frozen=True)
class Target:
    """A measured value and its bound, both in `unit` ("x" for a ratio). at_least: whether the bound is a minimum."""

    name: str
    unit: str
    bound: float
    measured: float
    at_least: bool = False

    @property
    def met(self) -> bool:
        """Whether the measured value is within its bound."""
        return self.measured >= self.bound if self.at_least else self.measured <= self.bound


def median_ratio(numerators: Sequence[float], denominators: Sequence[float]) -> float:
    """Median over the rounds of the ratio within a round."""
    return statistics.median(over / under for over, under in zip(numerators, denominators, strict=True))


def summarise(rounds: Rounds) -> list[CellSummary]:
    """One summary for each cell, in the order measured."""
    summaries = []
    for cell, samples in rounds.cells.items():
        latencies_ms = [latency for sample in samples for latency in sample.load.latencies_ms]
        p50_ms, p95_ms, p99_ms = (float(value) for value in np.percentile(latencies_ms, (50, 95, 99)))
        cpu_seconds = [sample.cpu_seconds_per_request for sample in samples]
        client_cpu_seconds = [sample.load.client_cpu_seconds / len(sample.load.latencies_ms) for sample in samples]
        summaries.append(
            CellSummary(
                server=cell.server,
                route=cell.route,
                body=cell.body,
                clients=cell.clients,
                requests=len(latencies_ms),
                p50_ms=p50_ms,
                p95_ms=p95_ms,
                p99_ms=p99_ms,
                requests_per_second=statistics.median(sample.requests_per_second for sample in samples),
                server_cpu_ms_per_request=1000 * statistics.median(cpu_seconds),
                client_cpu_ms_per_request=1000 * statistics.median(client_cpu_seconds),
                cpu_ratio=median_ratio(cpu_seconds, rounds.in_process_cpu_seconds),
            )
        )
    return summaries


def judge(measurements: Measurements) -> list[Target]:
    """The targets of the service against what was measured."""
    rounds, memory = measurements.rounds, measurements.memory

    explain, predict = (
        [sample.p50_ms for sample in rounds.cells[Cell(SERVICE, route, RAW, 1)]] for route in (EXPLAIN, PREDICT)
    )
    return [
        *(
            Target(
                f"CPU per {PREDICT} request / in-process, {body}, {_counted(clients)}",
                "x",
                1.25,
                cpu_ratio(rounds, body, clients),
            )
            for body in (RAW, MULTIPART)
            for clients in (1, 16)
        ),
        Target(f"Throughput / {BASELINE}, 16 clients", "x", 2.5, throughput_gain(rounds, BASELINE), at_least=True),
        Target(f"p50 of {EXPLAIN} / {PREDICT}, 1 client", "x", 1.5, median_ratio(explain, predict)),
        Target("CPU of the middleware chain a request, one at a time", "ms", 2.0, measurements.chain_cpu_ms[1]),
        Target(f"{LARGE_JPEG} / {REFERENCE}, bytes to decision", "x", 1.6, measurements.inputs[LARGE_JPEG][1]),
        Target(
            f"Films judged a second, {OVERLOADING_CLIENTS} clients that do not heed Retry-After / the peak",
            "x",
            0.9,
            goodput(measurements.overload),
            at_least=True,
        ),
        Target("Start to ready", "s", 6.0, statistics.median(measurements.start_seconds)),
        Target("Growth of memory over 18,000 requests more", "MB", 10.0, growth_megabytes(measurements.endurance)),
        Target("Resident memory before the first explanation", "MB", 400.0, memory["before_explain"].rss_bytes / MEGABYTE),
        Target("Resident memory after the first explanations", "MB", 1000.0, memory["after_explain"].rss_bytes / MEGABYTE),
    ]


def growth_megabytes(endurance: tuple[Memory, Memory]) -> float:
    """Growth of resident memory."""
    before, after = endurance
    return (after.rss_bytes - before.rss_bytes) / MEGABYTE


def goodput(overload: Sequence[Sequence[Pressure]]) -> float:
    """Films judged a second with ten times the clients that keep the service busy, over the best rate with fewer clients."""
    rounds = [{pressure.clients: pressure.judged_per_second for pressure in curve} for curve in overload]
    overloaded = [judged[OVERLOADING_CLIENTS] for judged in rounds]
    peaks = [max(rate for clients, rate in judged.items() if clients < OVERLOADING_CLIENTS) for judged in rounds]
    return median_ratio(overloaded, peaks)


def cpu_ratio(rounds: Rounds, body: str, clients: int) -> float:
    """CPU of the service per /predict request over that of the same films in-process."""
    cpu_seconds = [sample.cpu_seconds_per_request for sample in rounds.cells[Cell(SERVICE, PREDICT, body, clients)]]
    return median_ratio(cpu_seconds, rounds.in_process_cpu_seconds)


def throughput_gain(rounds: Rounds, baseline: str) -> float:
    """Throughput at 16 clients over that of a baseline."""
    ours, theirs = (
        [sample.requests_per_second for sample in rounds.cells[Cell(server, PREDICT, MULTIPART, 16)]]
        for server in (SERVICE, baseline)
    )
    return median_ratio(ours, theirs)


def _counted(clients: int) -> str:
    return "1 client" if clients == 1 else f"{clients} clients"
