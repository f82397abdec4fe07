"""The dashboards without Grafana, as pictures: `python -m k8s.monitoring.preview --prometheus http://127.0.0.1:9090`.

A look at what the panels show and at how they are laid out, not a likeness of Grafana: places, titles, thresholds and data are
those of the generated JSON, drawing is Matplotlib's. Variables are set to all.
"""

import argparse
import json
import time
import urllib.parse
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from k8s.monitoring import GENERATED
from k8s.monitoring.dashboards.panels import GRID_COLUMNS

# Inches of a grid cell.
CELL = (0.62, 0.36)
POINTS = 120
COLOURS = {"green": "#3f9a4f", "yellow": "#d9a400", "red": "#c4372f"}
# Longer legends would hide what they explain.
NAMED_AT_MOST = 12


@dataclass(frozen=True)
class Series:
    """One line. times: seconds since the epoch."""

    labels: dict[str, str]
    times: list[float]
    values: list[float]


class Source:
    """Asks a Prometheus for the last `seconds`, as Grafana would. now: the end of them, in seconds since the epoch."""

    def __init__(self, address: str, seconds: float) -> None:
        self._address, self._seconds, self.now = address.rstrip("/"), seconds, time.time()

    def series(self, expression: str) -> list[Series]:
        """The range of an expression of a panel."""
        step = max(1.0, self._seconds / POINTS)
        filled = expression.replace("$version", ".*").replace("$feature", ".*")
        filled = filled.replace("$__rate_interval", f"{max(60, int(4 * step))}s")
        asked = {"query": filled, "start": self.now - self._seconds, "end": self.now, "step": step}
        url = f"{self._address}/api/v1/query_range?{urllib.parse.urlencode(asked)}"
        with urllib.request.urlopen(url, timeout=30) as response:  # noqa: S310  # nosec B310 (the address that was given)
            found = json.load(response)["data"]["result"]
        return [Series(each["metric"], *_columns(each["values"])) for each in found]


def _columns(samples: Sequence[tuple[float, str]]) -> tuple[list[float], list[float]]:
    return [float(moment) for moment, _ in samples], [float(value) for _, value in samples]


def main(argv: Sequence[str] | None = None) -> int:
    """Draw all dashboards."""
    parser = argparse.ArgumentParser(prog="python -m k8s.monitoring.preview", description="Dashboards as pictures.")
    parser.add_argument("--prometheus", default="http://127.0.0.1:9090", help="its address (%(default)s)")
    parser.add_argument("--minutes", type=float, default=60, help="how far back to look (%(default)s)")
    parser.add_argument("--out", type=Path, default=Path("reports/dashboards"), help="folder of the pictures (%(default)s)")
    arguments = parser.parse_args(argv)
    mpl.use("Agg")
    arguments.out.mkdir(parents=True, exist_ok=True)
    source = Source(arguments.prometheus, arguments.minutes * 60)
    for path in sorted(GENERATED.glob("*.json")):
        picture = arguments.out / f"{path.stem}.png"
        draw(json.loads(path.read_text("utf-8")), source, picture)
        print(picture)
    return 0


def draw(model: dict[str, Any], source: Source, picture: Path) -> None:
    """One dashboard's JSON model as a PNG."""
    height = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in model["panels"])
    figure = plt.figure(figsize=(GRID_COLUMNS * CELL[0], height * CELL[1] + 0.5), dpi=80, facecolor="white")
    figure.suptitle(model["title"], x=0.01, y=0.998, ha="left", va="top", fontsize=13, fontweight="bold")
    for panel in model["panels"]:
        place = panel["gridPos"]
        left, width = place["x"] / GRID_COLUMNS, place["w"] / GRID_COLUMNS
        top = 1 - (0.5 + place["y"] * CELL[1]) / (height * CELL[1] + 0.5)
        tall = place["h"] * CELL[1] / (height * CELL[1] + 0.5)
        if panel["type"] == "row":
            figure.text(left + 0.005, top - tall, panel["title"], fontsize=10, fontweight="bold", color="#555555")
            continue
        # Names of bars need room.
        indent = 0.035 if panel["type"] in ("timeseries", "stat") else 0.13
        axes = figure.add_axes((left + indent, top - tall * 0.86, width - indent - 0.01, tall * 0.66))
        axes.set_title(panel["title"], loc="left", fontsize=8, fontweight="bold")
        draw_panel(panel, source, axes)
    figure.savefig(picture)
    plt.close(figure)


def draw_panel(panel: dict[str, Any], source: Source, axes: Axes) -> None:
    """One panel: lines for a time series, bars for the newest values of the others, a figure for a single one."""
    steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
    found = [
        (_name(target.get("legendFormat", ""), series.labels), series)
        for target in panel["targets"]
        for series in source.series(target["expr"])
    ]
    axes.tick_params(labelsize=6)
    if not found:
        axes.text(0.5, 0.5, "no data", ha="center", va="center", fontsize=9, color="#888888", transform=axes.transAxes)
        axes.set_axis_off()
    elif panel["type"] == "timeseries":
        for name, series in found:
            minutes = [(moment - source.now) / 60 for moment in series.times]
            axes.plot(minutes, series.values, label=name, linewidth=1, marker=".", markersize=3)
        low, high = axes.get_ylim()
        for step in steps[1:]:
            if low <= step["value"] <= high:
                axes.axhline(step["value"], color=COLOURS[step["color"]], linestyle="--", linewidth=0.8)
        axes.set_xlabel("minutes", fontsize=6, labelpad=1)
        if len(found) <= NAMED_AT_MOST:
            axes.legend(fontsize=5, loc="upper left", ncols=3, framealpha=0.6)
    elif panel["type"] == "stat":
        axes.set_axis_off()
        text = "\n".join(f"{series.values[-1]:.4g} {name}" for name, series in found[:3])
        axes.text(0, 0.5, text, fontsize=12, va="center", color=_colour(found[0][1].values[-1], steps))
    else:
        shown = found[:24]
        values = [series.values[-1] for _, series in shown]
        axes.barh([name for name, _ in shown], values, color=[_colour(value, steps) for value in values])
        axes.invert_yaxis()
        axes.tick_params(axis="y", labelsize=5)


def _colour(value: float, steps: Sequence[dict[str, Any]]) -> str:
    reached = [step for step in steps if step["value"] is None or value >= step["value"]]
    return COLOURS[reached[-1]["color"]]


def _name(legend: str, labels: dict[str, str]) -> str:
    for label, value in labels.items():
        legend = legend.replace(f"{{{{{label}}}}}", value)
    return legend


if __name__ == "__main__":
    raise SystemExit(main())
