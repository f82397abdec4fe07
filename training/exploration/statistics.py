"""Statistics of measured films, of classes and sources and of what tells them apart."""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import product

import numpy as np
from scipy import stats

from service.model.findings import FINDINGS
from training.exploration.films import Floats, MeasuredFilm

ALL = "all"


def levels(films: Sequence[MeasuredFilm]) -> Iterator[tuple[str, str, list[MeasuredFilm]]]:
    """(class or "all", source or "all", its films): every combination that has films, those of all classes first."""
    sources = sorted({each.film.source for each in films})
    for finding, source in product((None, *FINDINGS), (None, *sources)):
        members = [each for each in films if finding in (None, each.film.finding) and source in (None, each.film.source)]
        if members:
            yield finding or ALL, source or ALL, members


def values_of(films: Sequence[MeasuredFilm], measurement: str) -> Floats:
    """A field of `Measures` for each film, float64 [N]."""
    return np.array([getattr(each.measures, measurement) for each in films], dtype=np.float64)


def mean_interval(values: Floats) -> tuple[float, float]:
    """The 95 % t interval of the mean of values [N], N > 1."""
    reach = float(stats.t.ppf(0.975, len(values) - 1) * stats.sem(values))
    return float(values.mean()) - reach, float(values.mean()) + reach


def imbalance(films: Sequence[MeasuredFilm]) -> float | None:
    """Films of the largest class / films of the smallest; None if one has none."""
    counts = Counter(each.film.finding for each in films)
    smallest = min(counts[finding] for finding in FINDINGS)
    return max(counts.values()) / smallest if smallest else None


def variance_explained(films: Sequence[MeasuredFilm], measurement: str) -> tuple[float, float, float]:
    """Share of a measurement's variance that goes with the class, with the source, and with the class beyond the source.

    The last is what the class adds once the source is known. NaN without variance.
    """
    values = values_of(films, measurement)
    of_source = eta_squared(values, [each.film.source for each in films])
    of_both = eta_squared(values, [f"{each.film.finding}\0{each.film.source}" for each in films])
    return eta_squared(values, [each.film.finding for each in films]), of_source, of_both - of_source


def eta_squared(values: Floats, groups: Sequence[str]) -> float:
    """Share of the variance of values [N] that lies between groups, 0..1; NaN without variance."""
    members = np.unique(np.asarray(groups), return_inverse=True)[1]
    counts = np.bincount(members)
    means = np.bincount(members, weights=values) / counts
    total = float(np.sum((values - values.mean()) ** 2))
    return float(np.sum(counts * (means - values.mean()) ** 2)) / total if total > 0 else float("nan")
