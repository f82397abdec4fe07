"""report.md from the values of exploration.json: the tables of REPORT sections 2 and 3, each also by source."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from service.model.findings import FINDINGS
from training.data.folder import SPLITS
from training.exploration.plots import COUNTS_NAME, HISTOGRAMS_NAME, INTENSITY_NAME, MEAN_FILMS_NAME, SIZES_NAME, TEXTURE_NAME
from training.exploration.statistics import ALL, LOW_CONTRAST
from training.tables import UNDEFINED, markdown_table, percent, picture

Values = Mapping[str, Any]

_LISTED_AT_MOST = 50  # refused films; exploration.json names all


def render_report(values: Values, quality_table: str) -> str:
    """The whole exploration as Markdown; quality_table: of the validation pass (REPORT Table 4)."""
    counts, sizes, appearance = values["counts"], values["sizes"], values["appearance"]
    parts = [
        "# Exploration of a data set",
        f"{counts['films']:,} films measured, {len(values['refused']):,} refused; data fingerprint "
        f"`{values['data_fingerprint']}`. Grey values, edges and texture are measured on the model input (224 x 224 px, grey, "
        "0 to 255). Means stand with the standard deviation over films; in brackets the 95 % t interval of the mean.",
        f"```\n{values['command']}\n```",
        "## Classes and splits",
        class_table(counts),
        _imbalance_text(counts),
        source_table(counts),
        _association_text(counts),
        picture("Films by class, split and source", COUNTS_NAME),
        "## Sizes",
        size_table(sizes),
        resolution_table(sizes),
        picture("Sizes and aspect ratios", SIZES_NAME),
        "## Quality",
        quality_table.strip(),
        "## Metadata",
        f"Source known of {counts['films_with_source']:,} films, patient or group of {counts['films_with_group']:,}. Without "
        "groups, films of one patient in two splits can be found as near duplicates only.",
        "## Grey values",
        appearance_table(appearance, {"mean_intensity": "mean intensity", "contrast": "standard deviation"}),
        picture("Mean intensity and contrast", INTENSITY_NAME),
        picture("Mean histograms", HISTOGRAMS_NAME),
        picture("Mean films", MEAN_FILMS_NAME),
        "## Low contrast",
        f"Films whose standard deviation is below {LOW_CONTRAST:g}; in brackets the 95 % Wilson interval.",
        low_contrast_table(appearance),
        "## Edges and texture",
        "Edge magnitude: mean length of the Sobel gradient, in grey levels per pixel. Texture: variance of the Laplacian.",
        appearance_table(appearance, {"edge_magnitude": "edge magnitude", "laplacian_variance": "Laplacian variance"}),
        picture("Edges and texture", TEXTURE_NAME),
        "## Class or source?",
        "Share of each measurement's variance (eta squared) that goes with the class, with the source, and with the class once "
        "the source is known. A measurement that the source explains better than the class tells hospitals apart: a network "
        "may learn it instead of the disease.",
        variance_table(values["variance_explained"]),
        "## Refused films",
        _refused(values["refused"]),
    ]
    return "\n\n".join(parts) + "\n"


def summary(values: Values) -> str:
    """Classes, grey values and what explains them, as tables for a terminal."""
    measures = {"mean_intensity": "mean intensity", "contrast": "standard deviation", "edge_magnitude": "edge magnitude"}
    appearance = appearance_table(values["appearance"], measures)
    return "\n\n".join([class_table(values["counts"]), appearance, variance_table(values["variance_explained"])])


def class_table(counts: Values) -> str:
    """Films per class and split (REPORT Table 2)."""
    per_split = counts["per_split"]
    splits = [split for split in (*SPLITS, ALL) if split in per_split]
    rows = [
        [finding.value, *(f"{per_split[split][finding.value]:,}" for split in splits), percent(share)]
        for finding in FINDINGS
        for share in [per_split[ALL][finding.value] / counts["films"]]
    ]
    rows.append([ALL, *(f"{sum(per_split[split].values()):,}" for split in splits), percent(1.0)])
    return markdown_table(("class", *splits, "share"), rows)


def source_table(counts: Values) -> str:
    """Films per class, source and split."""
    rows = [
        (row["class"], row["source"], *(f"{row[split]:,}" for split in SPLITS), f"{sum(row[split] for split in SPLITS):,}")
        for row in counts["per_class_and_source"]
    ]
    return markdown_table(("class", "source", *SPLITS, ALL), rows, words=2)


def size_table(sizes: Sequence[Values]) -> str:
    """Smallest, largest, mean, standard deviation and median of width, height and aspect ratio (REPORT Table 3)."""
    rows = [
        (
            row["class"],
            row["source"],
            label,
            *(f"{row[name][bound]:{form}}" for bound in ("min", "max")),
            _mean_and_std(row[name], form),
            f"{row[name]['median']:{form}}",
        )
        for row in sizes
        for name, label, form in (
            ("width_px", "width (px)", ",.0f"),
            ("height_px", "height (px)", ",.0f"),
            ("aspect_ratio", "width / height", ".2f"),
        )
    ]
    return markdown_table(("class", "source", "dimension", "min", "max", "mean ± std", "median"), rows, words=3)


def resolution_table(sizes: Sequence[Values]) -> str:
    """How many different resolutions there are, the most common ones, and the file formats (REPORT 2.2)."""

    def cells(row: Values) -> list[str]:
        common = (f"{each['width_px']} x {each['height_px']} ({percent(each['share'])})" for each in row["most_common"][:3])
        formats = (f"{name} {films:,}" for name, films in row["formats"].items())
        return [", ".join(common), ", ".join(formats), f"{row['unique_resolutions']:,}"]

    return _table(("most common", "formats", "resolutions"), sizes, cells, words=4)


def appearance_table(appearance: Sequence[Values], measures: Mapping[str, str]) -> str:
    """Mean, standard deviation and interval of the mean (REPORT Tables 5 and 6)."""
    header = ("films", *measures.values())
    return _table(header, appearance, lambda row: [f"{row['films']:,}", *(_with_interval(row[name]) for name in measures)])


def low_contrast_table(appearance: Sequence[Values]) -> str:
    """Share of the films with little contrast (REPORT Table 9)."""

    def cells(row: Values) -> list[str]:
        low = row["low_contrast"]
        share = f"{percent(low['share'])} ({' to '.join(map(percent, low['interval_95']))})"
        return [f"{row['films']:,}", f"{low['films']:,}", share]

    return _table(("films", "low in contrast", "share"), appearance, cells)


def variance_table(explained: Mapping[str, Values]) -> str:
    """Eta squared of class, source, and class beyond source."""
    rows = [
        (name.replace("_", " "), *("-" if value is None else percent(value) for value in each.values()))
        for name, each in explained.items()
    ]
    return markdown_table(("measurement", "class", "source", "class beyond source"), rows)


def _table(header: Sequence[str], rows: Sequence[Values], cells: Callable[[Values], Sequence[str]], words: int = 2) -> str:
    """One row for each class and source."""
    lines = [(row["class"], row["source"], *cells(row)) for row in rows]
    return markdown_table(("class", "source", *header), lines, words=words)


def _imbalance_text(counts: Values) -> str:
    ratios = ", ".join(
        f"{split} {UNDEFINED if ratio is None else f'{ratio:.2f}'}" for split, ratio in counts["imbalance_ratio"].items()
    )
    return f"Films of the largest class over films of the smallest: {ratios}."


def _association_text(counts: Values) -> str:
    association = counts["class_source_cramers_v"]
    if association is None:
        return "One class or one source only: how they go together cannot be told."
    return (
        f"Class and source go together with Cramér's V = {association:.2f} (0: independent, 1: either gives the other away); "
        "read every difference between classes next to the rows of its sources."
    )


def _mean_and_std(summary: Values, form: str) -> str:
    deviation = UNDEFINED if summary["std"] is None else f"{summary['std']:{form}}"
    return f"{summary['mean']:{form}} ± {deviation}"


def _with_interval(summary: Values) -> str:
    low, high = summary["mean_interval_95"]
    interval = "" if low is None else f" ({low:.1f} to {high:.1f})"
    return f"{_mean_and_std(summary, '.1f')}{interval}"


def _refused(refused: Sequence[Values]) -> str:
    lines = [f"- {each['path']}: {each['reason']}. {each['detail']}" for each in refused[:_LISTED_AT_MOST]]
    if len(refused) > _LISTED_AT_MOST:
        lines.append(f"- and {len(refused) - _LISTED_AT_MOST:,} more")
    return "\n".join(lines) or "None."
