"""report.md of an exploration: the tables of REPORT sections 2 and 3, with a row for each source too."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from scipy import stats

from training.data.folder import SPLITS, UNKNOWN_SOURCE
from training.data.validation_report import ValidationReport
from training.exploration.films import Floats, MeasuredFilm
from training.exploration.plots import HISTOGRAMS_NAME, INTENSITY_NAME, LOW_CONTRAST, MEAN_FILMS_NAME, TEXTURE_NAME
from training.exploration.statistics import (
    ALL,
    imbalance,
    levels,
    mean_interval,
    values_of,
    variance_explained,
)
from training.tables import UNDEFINED, markdown_table, percent, picture

Films = Sequence[MeasuredFilm]

SIZES = {"width_px": "width (px)", "height_px": "height (px)", "aspect_ratio": "width / height"}
INTENSITIES = {"mean_intensity": "mean intensity", "contrast": "standard deviation"}
TEXTURES = {"edge_magnitude": "edge magnitude", "laplacian_variance": "Laplacian variance"}

_RESOLUTIONS_SHOWN = 3


def render_report(films: Films, quality: ValidationReport, command: str) -> str:
    """The whole report as Markdown.

    films: the usable ones. quality: what is wrong with the others (REPORT Table 4). command: the one that writes the report.
    """
    with_source = sum(each.film.source != UNKNOWN_SOURCE for each in films)
    with_group = sum(each.film.group is not None for each in films)
    parts = [
        "# Exploration of a data set",
        f"{len(films):,} usable films of {quality.films:,}; data fingerprint `{quality.data_fingerprint}`. Grey values, edges "
        "and texture are measured on the model input (224 x 224 px, grey, 0 to 255). Means are given with the standard "
        "deviation over films; in brackets the 95 % t interval of the mean.",
        f"```\n{command}\n```",
        "## Classes, sources and splits",
        count_table(films),
        _imbalance_text(films),
        "## Sizes",
        "Smallest to largest; mean ± standard deviation; median.",
        size_table(films),
        resolution_table(films),
        "## Quality",
        quality.table().strip(),
        "## Metadata",
        f"The source is known for {with_source:,} films, the patient or group for {with_group:,}. Without groups, films of one "
        "patient in two splits are found only if they are near duplicates.",
        "## Grey values",
        appearance_table(films, INTENSITIES),
        picture("Mean intensity and contrast", INTENSITY_NAME),
        picture("Mean histograms", HISTOGRAMS_NAME),
        picture("Mean films", MEAN_FILMS_NAME),
        "## Low contrast",
        f"Films whose standard deviation is below {LOW_CONTRAST:g}; in brackets the 95 % Wilson interval.",
        low_contrast_table(films),
        "## Edges and texture",
        "Edge magnitude: mean length of the Sobel gradient, in grey levels per pixel. Texture: variance of the Laplacian.",
        appearance_table(films, TEXTURES),
        picture("Edges and texture", TEXTURE_NAME),
        "## Class or source?",
        "Share of each measurement's variance (eta squared) that the class explains, that the source explains, and that the "
        "class adds once the source is known. A measurement that the source explains better than the class tells hospitals "
        "apart: a network may learn it instead of the disease.",
        variance_table(films),
    ]
    return "\n\n".join(parts) + f"\n{quality.lists()}\n"


def summary(films: Films) -> str:
    """Classes, grey values and what explains them, as tables for a terminal."""
    appearance = appearance_table(films, {**INTENSITIES, "edge_magnitude": TEXTURES["edge_magnitude"]})
    return "\n\n".join([count_table(films), appearance, variance_table(films)])


def count_table(films: Films) -> str:
    """Films per class, source and split (REPORT Table 2)."""

    def cells(members: Films) -> list[str]:
        by_split = Counter(each.film.split for each in members)
        return [*(f"{by_split[split]:,}" for split in SPLITS), f"{len(members):,}", percent(len(members) / len(films))]

    return _table((*SPLITS, ALL, "share"), films, cells)


def size_table(films: Films) -> str:
    """Width, height and aspect ratio (REPORT Table 3)."""

    def cells(members: Films) -> list[str]:
        forms = (",.0f", ",.0f", ".2f")
        return [_size(values_of(members, name), form) for name, form in zip(SIZES, forms, strict=True)]

    return _table(tuple(SIZES.values()), films, cells)


def resolution_table(films: Films) -> str:
    """The most common resolutions, the file formats, and the number of different resolutions (REPORT 2.2)."""

    def cells(members: Films) -> list[str]:
        resolutions = Counter((each.measures.width_px, each.measures.height_px) for each in members)
        common = (
            f"{width} x {height} ({percent(count / len(members))})"
            for (width, height), count in resolutions.most_common(_RESOLUTIONS_SHOWN)
        )
        formats = (f"{name} {count:,}" for name, count in Counter(each.measures.format for each in members).most_common())
        return [", ".join(common), ", ".join(formats), f"{len(resolutions):,}"]

    return _table(("most common", "formats", "resolutions"), films, cells, words=4)


def appearance_table(films: Films, measurements: Mapping[str, str]) -> str:
    """Mean, standard deviation and interval of the mean (REPORT Tables 5 and 6). measurements: field of `Measures` -> title."""

    def cells(members: Films) -> list[str]:
        return [f"{len(members):,}", *(_mean(values_of(members, name)) for name in measurements)]

    return _table(("films", *measurements.values()), films, cells)


def low_contrast_table(films: Films) -> str:
    """Share of the films below LOW_CONTRAST (REPORT Table 9), with its 95 % interval (Wilson 1927)."""

    def cells(members: Films) -> list[str]:
        low = int(np.sum(values_of(members, "contrast") < LOW_CONTRAST))
        interval = stats.binomtest(low, len(members)).proportion_ci(method="wilson")
        share = f"{percent(low / len(members))} ({percent(interval.low)} to {percent(interval.high)})"
        return [f"{len(members):,}", f"{low:,}", share]

    return _table(("films", "low in contrast", "share"), films, cells)


def variance_table(films: Films) -> str:
    """Share of the variance of each measurement by class, source, and class beyond source; see `variance_explained`."""
    rows = [
        (title, *(UNDEFINED if np.isnan(share) else percent(share) for share in variance_explained(films, name)))
        for name, title in {**SIZES, **INTENSITIES, **TEXTURES}.items()
    ]
    return markdown_table(("measurement", "class", "source", "class beyond source"), rows)


def _table(header: Sequence[str], films: Films, cells: Callable[[Films], Sequence[str]], words: int = 2) -> str:
    """One row for each class and source; `cells` gives the row's cells for its films. words: columns aligned to the left."""
    rows = [(finding, source, *cells(members)) for finding, source, members in levels(films)]
    return markdown_table(("class", "source", *header), rows, words=words)


def _imbalance_text(films: Films) -> str:
    members = {split: [each for each in films if each.film.split == split] for split in SPLITS} | {ALL: films}
    ratios = {split: imbalance(of_split) for split, of_split in members.items() if of_split}
    listed = ", ".join(f"{split} {UNDEFINED if ratio is None else f'{ratio:.2f}'}" for split, ratio in ratios.items())
    return f"Films of the largest class / films of the smallest: {listed}."


def _size(values: Floats, form: str) -> str:
    return f"{values.min():{form}} to {values.max():{form}}; {_mean_and_std(values, form)}; {np.median(values):{form}}"


def _mean(values: Floats) -> str:
    if len(values) == 1:
        return _mean_and_std(values, ".1f")
    low, high = mean_interval(values)
    return f"{_mean_and_std(values, '.1f')} ({low:.1f} to {high:.1f})"


def _mean_and_std(values: Floats, form: str) -> str:
    deviation = UNDEFINED if len(values) == 1 else f"{values.std(ddof=1):{form}}"
    return f"{values.mean():{form}} ± {deviation}"
