"""Pictures drawn without a display and without global plotting state."""

from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

DOTS_PER_INCH = 120
COLOURS = ("#2c7fb8", "#d95f0e", "#756bb1")  # apart in hue and in lightness, so that they survive grey print


def new_figure(width_inches: float, height_inches: float) -> Figure:
    """An empty figure that arranges its axes itself, for `save`."""
    return Figure(figsize=(width_inches, height_inches), layout="constrained")


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG."""
    FigureCanvasAgg(figure)
    # The version of the drawing library is left out, so that equal figures make equal files.
    figure.savefig(path, dpi=DOTS_PER_INCH, metadata={"Software": None})


def height_of(value: float | None) -> float:
    """A figure of metrics.json as a place in a picture: what is undefined is not drawn."""
    return float("nan") if value is None else value
