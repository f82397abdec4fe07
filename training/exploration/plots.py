"""Plots of an exploration."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from service.model.findings import FINDINGS
from training.exploration.films import HISTOGRAM_BINS, Floats, MeasuredFilm
from training.exploration.statistics import ALL, levels
from training.plots import COLOURS, new_figure, save

INTENSITY_NAME = "intensity.png"
TEXTURE_NAME = "edges_and_texture.png"
HISTOGRAMS_NAME = "grey_values.png"
MEAN_FILMS_NAME = "mean_films.png"

# REPORT Table 9: below this standard deviation of its grey values a film counts as low in contrast.
LOW_CONTRAST = 40.0

_COLOURS: dict[str, str] = dict(zip(FINDINGS, COLOURS, strict=True))


def draw_plots(films: Sequence[MeasuredFilm], mean_films: Mapping[tuple[str, str], Floats], out: Path) -> None:
    """Write all plots as PNG into the folder `out`. mean_films: as `measure_films` returns them."""
    plots = {
        INTENSITY_NAME: _boxes(films, {"mean_intensity": "mean grey value", "contrast": "standard deviation"}),
        TEXTURE_NAME: _boxes(films, {"edge_magnitude": "grey levels / px", "laplacian_variance": "Laplacian variance"}),
        HISTOGRAMS_NAME: _histograms(films),
        MEAN_FILMS_NAME: _mean_films(mean_films),
    }
    for name, plot in plots.items():
        save(plot, out / name)


def _cells(films: Sequence[MeasuredFilm]) -> list[tuple[str, str, list[MeasuredFilm]]]:
    """(class, source, its films) of every class and source that has films."""
    return [level for level in levels(films) if ALL not in level[:2]]


def _boxes(films: Sequence[MeasuredFilm], measures: dict[str, str]) -> Figure:
    """One panel a measurement, one box a class and source: median, quartiles, whiskers to 1.5 interquartile ranges.

    measures: field of `Measures` -> label of the axis.
    """
    cells = _cells(films)
    figure = new_figure(11, 0.4 * len(cells) + 1.6)
    panels = figure.subplots(1, len(measures), sharey=True)
    for axes, (name, label) in zip(panels, measures.items(), strict=True):
        values = [[getattr(each.measures, name) for each in members] for *_, members in cells]
        boxes = axes.boxplot(values, orientation="horizontal", patch_artist=True, widths=0.7, flierprops={"markersize": 2})
        for patch, (finding, *_) in zip(boxes["boxes"], cells, strict=True):
            patch.set(facecolor=_COLOURS[finding], alpha=0.6)
        axes.set(title=name.replace("_", " "), xlabel=label)
        if name == "contrast":
            axes.axvline(LOW_CONTRAST, color="black", linestyle="--", linewidth=1)
    panels[0].set_yticks(range(1, len(cells) + 1), [f"{finding}, {source}" for finding, source, _ in cells])
    panels[0].invert_yaxis()
    return figure


def _histograms(films: Sequence[MeasuredFilm]) -> Figure:
    """Mean histogram of the grey values: one panel a class, one line a source."""
    figure = new_figure(12, 3.8)
    panels = figure.subplots(1, len(FINDINGS), sharey=True)
    bin_centres = (np.arange(HISTOGRAM_BINS) + 0.5) * 256 / HISTOGRAM_BINS
    colours = {source: f"C{index}" for index, source in enumerate(sorted({each.film.source for each in films}))}
    for axes, finding in zip(panels, FINDINGS, strict=True):
        for of_class, source, members in _cells(films):
            if of_class == finding:
                mean = np.mean([each.histogram for each in members], axis=0)
                axes.plot(bin_centres, mean, color=colours[source], label=source)
        axes.set(title=finding.value, xlabel="grey value", xlim=(0, 255))
        axes.legend(fontsize=8)
    panels[0].set_ylabel("share of the pixels")
    return figure


def _mean_films(mean_films: Mapping[tuple[str, str], Floats]) -> Figure:
    """The mean film of each class (rows) and source (columns): columns differ by what is the source's, not the disease's."""
    sources = sorted({source for _, source in mean_films})
    figure = new_figure(2.1 * len(sources) + 0.6, 2.2 * len(FINDINGS) + 0.4)
    panels = figure.subplots(len(FINDINGS), len(sources), squeeze=False)
    for row, finding in enumerate(FINDINGS):
        for column, source in enumerate(sources):
            axes = panels[row, column]
            axes.set(xticks=[], yticks=[])
            if (finding.value, source) in mean_films:
                axes.imshow(mean_films[finding.value, source], cmap="gray", vmin=0, vmax=255)
            else:
                axes.set_frame_on(False)
            if row == 0:
                axes.set_title(source)
            if column == 0:
                axes.set_ylabel(finding.value)
    return figure
