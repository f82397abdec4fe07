"""Statistics of measured films by class and source, and how well a measurement tells classes and sources apart."""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import product

import numpy as np
from scipy import stats

from service.model.findings import FINDINGS
from training.exploration.films import Floats, MeasuredFilm

ALL = "all"


def levels(films: Sequence[MeasuredFilm]) -> Iterator[tuple[str, str, list[MeasuredFilm]]]:
    """Yield (class or "all", source or "all", its films) for every combination that has films, all classes first."""
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
    half_width = float(stats.t.ppf(0.975, len(values) - 1) * stats.sem(values))
    return float(values.mean()) - half_width, float(values.mean()) + half_width


def imbalance(films: Sequence[MeasuredFilm]) -> float | None:
    """Films of the largest class / films of the smallest; None if a class has no films."""
    counts = Counter(each.film.finding for each in films)
    smallest = min(counts[finding] for finding in FINDINGS)
    return max(counts.values()) / smallest if smallest else None


def variance_explained(films: Sequence[MeasuredFilm], measurement: str) -> tuple[float, float, float]:
    """Share of a measurement's variance explained by the class, by the source, and by the class beyond the source.

    measurement: a field of `Measures`. Each share is 0..1, or NaN without variance.
    """
    values = values_of(films, measurement)
    by_class = eta_squared(values, [each.film.finding for each in films])
    by_source = eta_squared(values, [each.film.source for each in films])
    by_both = eta_squared(values, [f"{each.film.finding}\0{each.film.source}" for each in films])
    return by_class, by_source, by_both - by_source


def eta_squared(values: Floats, groups: Sequence[str]) -> float:
    """Eta squared: share of the variance of values [N] that lies between groups, 0..1; NaN without variance."""
    members = np.unique(np.asarray(groups), return_inverse=True)[1]
    counts = np.bincount(members)
    means = np.bincount(members, weights=values) / counts
    total = float(np.sum((values - values.mean()) ** 2))
    return float(np.sum(counts * (means - values.mean()) ** 2)) / total if total > 0 else float("nan")
