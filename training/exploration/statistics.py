"""Measurements of films -> the values of exploration.json, for every class, every source, and both together."""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

import numpy as np
from scipy import stats

from service.model.findings import FINDINGS
from training.data.folder import SPLITS
from training.exploration.films import Floats, MeasuredFilm

ALL = "all"
SIZES = ("width_px", "height_px", "aspect_ratio")
APPEARANCES = ("mean_intensity", "contrast", "edge_magnitude", "laplacian_variance")

# REPORT Table 9: below this standard deviation of its grey values a film counts as low in contrast.
LOW_CONTRAST = 40.0

_MOST_COMMON = 5


def count_films(films: Sequence[MeasuredFilm]) -> dict[str, Any]:
    """Films per split, class and source, imbalance (REPORT Table 2), and the association of class and source.

    imbalance_ratio: films of the largest class / films of the smallest, None if one has none. class_source_cramers_v: 0 if
    class and source are independent, 1 if either gives the other away (Cramer 1946); None with fewer than two of either.
    """
    by_split = {split: Counter(each.film.finding for each in films if each.film.split == split) for split in SPLITS}
    by_split[ALL] = Counter(each.film.finding for each in films)
    rows = [
        {"class": finding, "source": source, **{split: sum(e.film.split == split for e in members) for split in SPLITS}}
        for finding, source, members in levels(films)
        if ALL not in (source, finding)
    ]
    return {
        "films": len(films),
        "per_split": {
            split: {finding.value: counts[finding] for finding in FINDINGS} for split, counts in by_split.items() if counts
        },
        "imbalance_ratio": {split: _imbalance(counts) for split, counts in by_split.items() if counts},
        "per_class_and_source": rows,
        "class_source_cramers_v": _cramers_v(films),
        "films_with_source": sum(each.film.source != "unknown" for each in films),
        "films_with_group": sum(each.film.group is not None for each in films),
    }


def summarise_sizes(films: Sequence[MeasuredFilm]) -> list[dict[str, Any]]:
    """One row for all films, each class, each source and each class of a source (REPORT Table 3)."""
    rows = []
    for finding, source, members in levels(films):
        resolutions = Counter((each.measures.width_px, each.measures.height_px) for each in members)
        rows.append(
            {
                "class": finding,
                "source": source,
                "films": len(members),
                **{name: summary(_values(members, name)) for name in SIZES},
                "unique_resolutions": len(resolutions),
                "most_common": [
                    {"width_px": width, "height_px": height, "share": _rounded(count / len(members))}
                    for (width, height), count in resolutions.most_common(_MOST_COMMON)
                ],
                "formats": dict(Counter(each.measures.format for each in members).most_common()),
            }
        )
    return rows


def summarise_appearance(films: Sequence[MeasuredFilm]) -> list[dict[str, Any]]:
    """Grey values, edges and texture, in rows like those of the sizes (REPORT Tables 5, 6 and 9).

    low_contrast: films whose contrast is below 40, their share and its 95 % interval (Wilson 1927).
    """
    rows = []
    for finding, source, members in levels(films):
        low = int(np.sum(_values(members, "contrast") < LOW_CONTRAST))
        interval = stats.binomtest(low, len(members)).proportion_ci(method="wilson")
        rows.append(
            {
                "class": finding,
                "source": source,
                "films": len(members),
                **{name: summary(_values(members, name)) for name in APPEARANCES},
                "low_contrast": {
                    "films": low,
                    "share": _rounded(low / len(members)),
                    "interval_95": [_rounded(interval.low), _rounded(interval.high)],
                },
            }
        )
    return rows


def variance_explained(films: Sequence[MeasuredFilm]) -> dict[str, dict[str, float | None]]:
    """For each measurement the share of its variance (eta squared, 0..1) that goes with the class, and with the source.

    class_beyond_source: what the class adds once the source is known. A large share of the class with little beyond the
    source is a difference between hospitals, not between diseases.
    """
    findings = [each.film.finding.value for each in films]
    sources = [each.film.source for each in films]
    cells = [f"{finding}\0{source}" for finding, source in zip(findings, sources, strict=True)]
    explained: dict[str, dict[str, float | None]] = {}
    for name in (*SIZES, *APPEARANCES):
        values = _values(films, name)
        of_source = eta_squared(values, sources)
        explained[name] = {
            "class": _rounded(eta_squared(values, findings)),
            "source": _rounded(of_source),
            "class_beyond_source": _rounded(eta_squared(values, cells) - of_source),
        }
    return explained


def levels(films: Sequence[MeasuredFilm]) -> Iterator[tuple[str, str, list[MeasuredFilm]]]:
    """(class or "all", source or "all", its films): every combination that has films, those of all classes first."""
    sources = sorted({each.film.source for each in films})
    for finding, source in product((None, *FINDINGS), (None, *sources)):
        members = [each for each in films if finding in (None, each.film.finding) and source in (None, each.film.source)]
        if members:
            yield finding or ALL, source or ALL, members


def summary(values: Floats) -> dict[str, Any]:
    """Mean, standard deviation (n - 1), median, extremes, and the 95 % t interval of the mean; of values [N], N >= 1."""
    n = len(values)
    deviation = float(values.std(ddof=1)) if n > 1 else float("nan")
    reach = float(stats.t.ppf(0.975, n - 1)) * deviation / np.sqrt(n) if n > 1 else float("nan")
    mean = float(values.mean())
    return {
        "mean": _rounded(mean),
        "std": _rounded(deviation),
        "median": _rounded(float(np.median(values))),
        "min": _rounded(float(values.min())),
        "max": _rounded(float(values.max())),
        "mean_interval_95": [_rounded(mean - reach), _rounded(mean + reach)],
    }


def eta_squared(values: Floats, groups: Sequence[str]) -> float:
    """Share of the variance of values [N] that lies between groups, 0..1; NaN without variance."""
    members = np.unique(np.asarray(groups), return_inverse=True)[1]
    counts = np.bincount(members)
    means = np.bincount(members, weights=values) / counts
    total = float(np.sum((values - values.mean()) ** 2))
    return float(np.sum(counts * (means - values.mean()) ** 2)) / total if total > 0 else float("nan")


def _values(films: Sequence[MeasuredFilm], name: str) -> Floats:
    return np.array([getattr(each.measures, name) for each in films], dtype=np.float64)


def _imbalance(counts: Counter[Any]) -> float | None:
    smallest = min(counts[finding] for finding in FINDINGS)
    return _rounded(max(counts.values()) / smallest) if smallest else None


def _cramers_v(films: Sequence[MeasuredFilm]) -> float | None:
    findings = np.unique([each.film.finding.value for each in films], return_inverse=True)[1]
    sources = np.unique([each.film.source for each in films], return_inverse=True)[1]
    table = np.zeros((findings.max() + 1, sources.max() + 1), dtype=np.int64)
    np.add.at(table, (findings, sources), 1)
    return _rounded(float(stats.contingency.association(table, method="cramer"))) if min(table.shape) > 1 else None


def _rounded(value: float) -> float | None:
    """A JSON number with six significant digits; None for NaN, which JSON lacks."""
    return None if math.isnan(value) else float(f"{value:.6g}")
