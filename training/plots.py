"""Plots drawn without a display and without matplotlib's global state."""

from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

DOTS_PER_INCH = 120
COLOURS = ("#2c7fb8", "#d95f0e", "#756bb1")  # differ in lightness too, for grey print


def new_figure(width_inches: float, height_inches: float) -> Figure:
    """An empty figure that lays out its axes itself, for `save`."""
    return Figure(figsize=(width_inches, height_inches), layout="constrained")


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG; its folder is made if need be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    FigureCanvasAgg(figure)
    # Without matplotlib's version, so that equal plots make equal files.
    figure.savefig(path, dpi=DOTS_PER_INCH, metadata={"Software": None})


def height_of(value: float | None) -> float:
    """A value of metrics.json as a coordinate: NaN, which matplotlib leaves out, for an undefined one."""
    return float("nan") if value is None else value
