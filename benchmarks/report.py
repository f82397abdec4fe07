"""Writes the measurements as JSON and as Markdown."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.conditions import Conditions
from benchmarks.inprocess import StageCost
from benchmarks.overload import Pressure
from benchmarks.summary import (
    BASELINE_TUNED,
    Cell,
    CellSummary,
    Measurements,
    Target,
    judge,
    summarise,
    throughput_gain,
)
from training.tables import markdown_table

_INTRODUCTION = (
    "Measured by `cxr bench`. Compare ratios, not milliseconds: everything was measured in short rounds that take "
    "turns on one machine, each ratio is taken within a round, and the median over the rounds is shown. Client and servers "
    "share the machine's cores. The baseline is FastAPI, uvicorn and eager PyTorch with the same architecture and random "
    "weights, `benchmarks/baseline_fastapi.py`."
)


def render_json(conditions: Conditions, measurements: Measurements) -> str:
    """Conditions, targets, and all measurements behind them, with those of each round."""
    rounds = measurements.rounds
    document: dict[str, Any] = {
        "conditions": asdict(conditions),
        "targets": [asdict(target) | {"met": target.met} for target in judge(measurements)],
        "throughput_over_tuned_baseline": throughput_gain(rounds, BASELINE_TUNED),
        "stages": {
            str(size_px): {stage: asdict(cost) for stage, cost in costs.items()}
            for size_px, costs in measurements.stages.items()
        },
        "start_seconds": measurements.start_seconds,
        "inputs": {name: {"ms": ms, "ratio": ratio} for name, (ms, ratio) in measurements.inputs.items()},
        "endurance_bytes": measurements.endurance_bytes,
        "overload_per_round": [[asdict(pressure) for pressure in curve] for curve in measurements.overload],
        "memory_bytes": measurements.memory_bytes,
        "in_process_cpu_ms_per_round": [1000 * seconds for seconds in rounds.in_process_cpu_seconds],
        "cells": [
            asdict(cell)
            | asdict(summary)
            | {
                "requests_per_second_per_round": [sample.requests_per_second for sample in samples],
                "server_cpu_ms_per_request_per_round": [1000 * sample.cpu_seconds_per_request for sample in samples],
                "p50_ms_per_round": [sample.p50_ms for sample in samples],
            }
            for (cell, summary), samples in zip(summarise(rounds).items(), rounds.cells.values(), strict=True)
        ],
    }
    return json.dumps(_rounded(document), indent=2) + "\n"


def render_markdown(conditions: Conditions, measurements: Measurements) -> str:
    """The report."""
    versions = ", ".join(f"{name} {version}" for name, version in conditions.versions.items())
    return (
        "\n\n".join(
            [
                "# Speed and size",
                _INTRODUCTION,
                f"{conditions.model} on {conditions.cores} cores of {conditions.cpu}, {conditions.memory_gigabytes:g} GB, "
                f"{conditions.system}, Python {conditions.python}; load average at the start {conditions.load_average:g}.",
                "## Targets",
                _targets_table(judge(measurements)),
                "Against a baseline whose model runs take one thread each, "
                f"{throughput_gain(measurements.rounds, BASELINE_TUNED):.2f} times its throughput at 16 clients.",
                "## In-process, one thread",
                "Medians per film, JPEG, in milliseconds on the clock / of CPU.",
                _stages_table(measurements.stages),
                "## HTTP",
                "Latencies in ms. CPU ratio: server CPU per request over the in-process CPU of the same films.",
                _cells_table(summarise(measurements.rounds)),
                "## Sizes and formats",
                "Bytes to decision without HTTP, medians. Compressed DICOM is decoded in a process of its own.",
                _inputs_table(measurements.inputs),
                "## Overload",
                "Clients that send the next film as soon as they have an answer, whatever Retry-After says; films of 512 px, "
                "medians over rounds.",
                _overload_table(measurements.overload),
                "## Starts",
                f"Start to ready: {', '.join(f'{seconds:.2f} s' for seconds in measurements.start_seconds)}.",
                "## Versions",
                f"{versions}.",
            ]
        )
        + "\n"
    )


def write(path: Path, conditions: Conditions, measurements: Measurements) -> None:
    """Write the JSON to `path`, and the Markdown beside it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(render_json(conditions, measurements), "utf-8")
    path.with_suffix(".md").write_text(render_markdown(conditions, measurements), "utf-8")


def _targets_table(targets: Iterable[Target]) -> str:
    rows = (
        [
            target.name,
            f"{'at least' if target.at_least else 'at most'} {target.bound:g} {target.unit}",
            f"{target.measured:.0f} {target.unit}" if target.unit == "MB" else f"{target.measured:.2f} {target.unit}",
            "yes" if target.met else "**no**",
        ]
        for target in targets
    )
    return markdown_table(["What", "Target", "Measured", "Met"], rows)


def _stages_table(stages: dict[int, dict[str, StageCost]]) -> str:
    header = ["Film", *next(iter(stages.values()))]
    rows = (
        [f"{size_px} x {size_px} px", *(f"{cost.wall_ms:.2f} / {cost.cpu_ms:.2f}" for cost in costs.values())]
        for size_px, costs in stages.items()
    )
    return markdown_table(header, rows)


def _cells_table(cells: Mapping[Cell, CellSummary]) -> str:
    latencies, costs = ["p50", "p95", "p99"], ["Server CPU ms", "CPU ratio", "Client CPU ms"]
    header = ["Server", "Path", "Body", "Clients", *latencies, "Requests/s", *costs]
    rows = (
        [
            cell.server,
            cell.route,
            cell.body,
            str(cell.clients),
            f"{summary.p50_ms:.1f}",
            f"{summary.p95_ms:.1f}",
            f"{summary.p99_ms:.1f}",
            f"{summary.requests_per_second:.1f}",
            f"{summary.server_cpu_ms_per_request:.2f}",
            f"{summary.cpu_ratio:.2f}",
            f"{summary.client_cpu_ms_per_request:.2f}",
        ]
        for cell, summary in cells.items()
    )
    return markdown_table(header, rows)


def _inputs_table(inputs: Mapping[str, tuple[float, float]]) -> str:
    rows = ([name, f"{ms:.1f}", f"{ratio:.2f}"] for name, (ms, ratio) in inputs.items())
    return markdown_table(["Film", "ms", "ratio"], rows)


def _overload_table(overload: Sequence[Sequence[Pressure]]) -> str:
    rows = (
        [
            str(of_rounds[0].clients),
            f"{median(pressure.judged_per_second for pressure in of_rounds):.1f}",
            f"{median(pressure.refused_per_second for pressure in of_rounds):.1f}",
            str(sum(pressure.other for pressure in of_rounds)),
            f"{median(pressure.p50_ms for pressure in of_rounds):.0f}",
            f"{median(pressure.p99_ms for pressure in of_rounds):.0f}",
        ]
        for of_rounds in zip(*overload, strict=True)
    )
    return markdown_table(["Clients", "Judged/s", "Refused/s", "Other answers", "p50 of judged, ms", "p99 of judged, ms"], rows)


def _rounded(value: Any) -> Any:
    """Floats with four significant digits: more would be noise, and make two runs hard to compare."""
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]
    return value
