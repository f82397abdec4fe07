"""Statistics of the benchmark, on invented measurements."""

from collections.abc import Mapping

import pytest

from benchmarks.inprocess import SITE_HEAD, StageCost
from benchmarks.inputs import LARGE_JPEG, REFERENCE
from benchmarks.load import Load
from benchmarks.overload import Pressure
from benchmarks.rounds import CELLS
from benchmarks.summary import (
    BASELINE,
    BASELINE_TUNED,
    EXPLAIN,
    MULTIPART,
    PREDICT,
    RAW,
    SERVICE,
    Cell,
    Measurements,
    Rounds,
    Sample,
    Target,
    judge,
    median_ratio,
    summarise,
    throughput_gain,
)


def sample(latency_ms: float = 10.0, seconds: float = 1.0, server_cpu_seconds: float = 0.1, requests: int = 10) -> Sample:
    return Sample(Load((latency_ms,) * requests, seconds, client_cpu_seconds=0.01), server_cpu_seconds)


def measurements(of_cells: Mapping[Cell, Sample] = {}) -> Measurements:
    """Two equal rounds; in-process 10 ms of CPU a film. of_cells: samples that differ."""
    cells = {cell: (of_cells.get(cell, sample()),) * 2 for cell in CELLS}
    return Measurements(
        stages={512: {"infer": StageCost(9.0, 8.9), "total": StageCost(10.0, 9.9), SITE_HEAD: StageCost(0.03, 0.03)}},
        start_seconds=(4.0, 9.0, 5.0),
        memory_bytes=(300_000_000, 1_200_000_000),
        rounds=Rounds(in_process_cpu_seconds=(0.010, 0.010), cells=cells),
        inputs={REFERENCE: (12.0, 1.0), LARGE_JPEG: (21.0, 1.75)},
        overload=[[Pressure(16, 100.0, 0.0, 0, 150.0, 200.0), Pressure(160, 95.0, 90.0, 0, 700.0, 1100.0)]],
        endurance_bytes=(400_000_000, 405_000_000),
        endurance_requests=2000,
    )


def target(name_part: str, measured: Measurements) -> Target:
    [found] = [target for target in judge(measured) if name_part in target.name]
    return found


def test_a_ratio_is_taken_within_each_round_and_the_median_over_rounds_counts():
    # The second round ran on a machine twice as slow: both sides doubled, and the ratio is untouched.
    assert median_ratio([12, 24, 13], [10, 20, 10]) == pytest.approx(1.2)


def test_rounds_that_do_not_match_are_refused():
    with pytest.raises(ValueError, match="zip"):
        median_ratio([1.0, 2.0], [1.0])


def test_percentiles_are_over_the_requests_of_all_rounds():
    cell = Cell(SERVICE, PREDICT, RAW, 1)
    rounds = Rounds((0.01, 0.01), {cell: (sample(10.0, requests=97), sample(100.0, requests=3))})
    [summary] = summarise(rounds).values()
    assert summary.requests == 100
    assert (summary.p50_ms, summary.p95_ms) == (10.0, 10.0)
    assert summary.p99_ms == pytest.approx(100.0)


def test_cpu_ratio_divides_server_cpu_per_request_by_in_process_cpu_per_film():
    cell = Cell(SERVICE, PREDICT, RAW, 1)
    measured = measurements({cell: sample(server_cpu_seconds=0.12)})
    summary = summarise(measured.rounds)[cell]
    assert summary.server_cpu_ms_per_request == pytest.approx(12.0)
    assert summary.cpu_ratio == pytest.approx(1.2)
    assert target("CPU per /predict request / in-process, raw, 1 client", measured).measured == pytest.approx(1.2)


def test_throughput_is_compared_for_the_same_form_body_at_16_clients():
    measured = measurements(
        {
            Cell(server, PREDICT, MULTIPART, 16): sample(seconds=seconds)
            for server, seconds in ((SERVICE, 0.1), (BASELINE, 0.3), (BASELINE_TUNED, 0.2))
        }
    )
    gain = target("Throughput", measured)
    assert gain.measured == pytest.approx(3.0)
    assert gain.met
    assert throughput_gain(measured.rounds, BASELINE_TUNED) == pytest.approx(2.0)


def test_explanations_are_compared_with_predictions_of_one_client():
    measured = measurements({Cell(SERVICE, EXPLAIN, RAW, 1): sample(16.0)})
    slow = target("/predict/explain", measured)
    assert slow.measured == pytest.approx(1.6)
    assert not slow.met


def test_start_is_the_median_of_the_starts():
    assert target("Start", measurements()).measured == 5.0


def test_memory_is_judged_by_the_resident_memory_of_all_processes():
    before, after = target("before the first", measurements()), target("after the first", measurements())
    growth = target("Growth of memory over 1,800 requests more", measurements())
    assert (growth.measured, growth.met) == (5.0, True)
    assert (before.measured, before.met) == (300.0, True)
    assert (after.measured, after.met) == (1200.0, False)


@pytest.mark.parametrize(
    ("measured", "at_least", "met"), [(2.5, True, True), (2.4, True, False), (2.5, False, True), (2.6, False, False)]
)
def test_a_bound_belongs_to_the_good_side(measured, at_least, met):
    assert Target("gain", "x", 2.5, measured, at_least).met is met


def test_every_cell_that_a_target_needs_is_measured():
    assert {cell.server for cell in CELLS} == {SERVICE, BASELINE, BASELINE_TUNED}
    assert {cell.clients for cell in CELLS if cell.server == SERVICE} == {1, 4, 16}
    assert Cell(BASELINE, PREDICT, MULTIPART, 16) in CELLS
    assert len(judge(measurements())) == 13


def test_what_a_site_profile_adds_to_a_film_has_a_target():
    assert target("site profile adds", measurements()) == Target(
        "What a site profile adds to a film, 512 px", "ms", bound=0.1, measured=0.03
    )
