"""Measurements, and their summaries, ratios and targets. Pure; measures nothing itself.

Machines are noisy, so everything is measured in short rounds that take turns. A ratio is taken within each round, where both
of its sides met the same noise, and then the median over the rounds.
"""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.inprocess import SITE_HEAD, StageCost
from benchmarks.inputs import LARGE_JPEG, REFERENCE
from benchmarks.load import Load
from benchmarks.overload import OVERLOADING_CLIENTS, Pressure

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
        """Throughput over all clients."""
        return len(self.load.latencies_ms) / self.load.seconds

    @property
    def cpu_seconds_per_request(self) -> float:
        """CPU seconds of the server's processes for each request."""
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
    memory_bytes: tuple[int, int]  # resident memory of the service before the first explanation, and after some
    rounds: Rounds  # of load
    inputs: Mapping[str, tuple[float, float]]  # kind of film -> milliseconds, and ratio to REFERENCE
    overload: Sequence[Sequence[Pressure]]  # rounds of one measurement for each number of clients
    endurance_bytes: tuple[int, int]  # resident memory after a tenth of the endurance requests, and after all of them
    endurance_requests: int  # number of all these requests


@dataclass(frozen=True)
class CellSummary:
    """Summary of a cell: percentiles over the requests of all rounds, medians over the rounds of all other values."""

    requests: int  # in all rounds
    p50_ms: float  # of the latency
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


def summarise(rounds: Rounds) -> dict[Cell, CellSummary]:
    """One summary for each cell, in the order measured."""
    summaries = {}
    for cell, samples in rounds.cells.items():
        latencies_ms = [latency for sample in samples for latency in sample.load.latencies_ms]
        p50_ms, p95_ms, p99_ms = (float(value) for value in np.percentile(latencies_ms, (50, 95, 99)))
        cpu_seconds = [sample.cpu_seconds_per_request for sample in samples]
        client_cpu_seconds = [sample.load.client_cpu_seconds / len(sample.load.latencies_ms) for sample in samples]
        summaries[cell] = CellSummary(
            requests=len(latencies_ms),
            p50_ms=p50_ms,
            p95_ms=p95_ms,
            p99_ms=p99_ms,
            requests_per_second=statistics.median(sample.requests_per_second for sample in samples),
            server_cpu_ms_per_request=1000 * statistics.median(cpu_seconds),
            client_cpu_ms_per_request=1000 * statistics.median(client_cpu_seconds),
            cpu_ratio=median_ratio(cpu_seconds, rounds.in_process_cpu_seconds),
        )
    return summaries


def judge(measurements: Measurements) -> list[Target]:
    """The targets of the service against what was measured."""
    rounds = measurements.rounds
    summaries = summarise(rounds)
    before_explaining, after_explaining = measurements.memory_bytes
    tenth, all_requests = measurements.endurance_bytes
    requests_between = measurements.endurance_requests - measurements.endurance_requests // 10
    explain, predict = (
        [sample.p50_ms for sample in rounds.cells[Cell(SERVICE, route, RAW, 1)]] for route in (EXPLAIN, PREDICT)
    )
    return [
        *(
            Target(
                f"CPU per {PREDICT} request / in-process, {body}, {named}",
                "x",
                1.25,
                summaries[Cell(SERVICE, PREDICT, body, clients)].cpu_ratio,
            )
            for body in (RAW, MULTIPART)
            for clients, named in ((1, "1 client"), (16, "16 clients"))
        ),
        Target(f"Throughput / {BASELINE}, 16 clients", "x", 2.5, throughput_gain(rounds, BASELINE), at_least=True),
        Target(f"p50 of {EXPLAIN} / {PREDICT}, 1 client", "x", 1.5, median_ratio(explain, predict)),
        Target(f"{LARGE_JPEG} / {REFERENCE}, bytes to decision", "x", 1.6, measurements.inputs[LARGE_JPEG][1]),
        Target(
            f"Films judged a second, {OVERLOADING_CLIENTS} clients that do not heed Retry-After / the peak",
            "x",
            0.9,
            goodput(measurements.overload),
            at_least=True,
        ),
        Target("What a site profile adds to a film, 512 px", "ms", 0.1, measurements.stages[512][SITE_HEAD].wall_ms),
        Target("Start to ready", "s", 6.0, statistics.median(measurements.start_seconds)),
        Target(f"Growth of memory over {requests_between:,} requests more", "MB", 10.0, (all_requests - tenth) / MEGABYTE),
        Target("Resident memory before the first explanation", "MB", 400.0, before_explaining / MEGABYTE),
        Target("Resident memory after the first explanations", "MB", 1000.0, after_explaining / MEGABYTE),
    ]


def goodput(overload: Sequence[Sequence[Pressure]]) -> float:
    """Films judged a second by OVERLOADING_CLIENTS, over the best rate with fewer clients; 1 if overload costs nothing."""
    rounds = [{pressure.clients: pressure.judged_per_second for pressure in curve} for curve in overload]
    overloaded = [judged[OVERLOADING_CLIENTS] for judged in rounds]
    peaks = [max(rate for clients, rate in judged.items() if clients < OVERLOADING_CLIENTS) for judged in rounds]
    return median_ratio(overloaded, peaks)


def throughput_gain(rounds: Rounds, baseline: str) -> float:
    """Throughput at 16 clients over that of a baseline."""
    ours, theirs = (
        [sample.requests_per_second for sample in rounds.cells[Cell(server, PREDICT, MULTIPART, 16)]]
        for server in (SERVICE, baseline)
    )
    return median_ratio(ours, theirs)
