"""Figures with their bootstrap intervals as nested JSON values: {..., name: value, "interval_95": {name: [low, high]}}."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from training.evaluation.measures.bootstrap import Statistics, bootstrap_intervals
from training.evaluation.measures.confusion import Floats, ratio

# Every interval of one part comes from as many draws; a percentile interval moves by less than its third digit beyond this.
RESAMPLES = 1000


def interval_figures(
    statistics: Statistics,
    groups: Sequence[str],
    *,
    seed: int,
    resamples: int = RESAMPLES,
    into: dict[str, Any] | None = None,
    lowest: float = 0.0,
) -> dict[str, Any]:
    """All figures of `statistics` at their paths, each level with `interval_95` beside them; undefined values are None.

    into: what they are added to, and what is returned; a new dictionary by default. lowest: see `bootstrap_intervals`.
    """
    values, intervals = bootstrap_intervals(statistics, groups, resamples=resamples, seed=seed, lowest=lowest)
    figures: dict[str, Any] = {} if into is None else into
    for (*where, name), value in values.items():
        level = _level(figures, where)
        level[name] = plain(value)
        level.setdefault("interval_95", {})[name] = [plain(bound) for bound in intervals[(*where, name)]]
    return figures


def plain_figures(statistics: Statistics, films: int) -> dict[str, Any]:
    """The same without intervals, over all `films`."""
    figures: dict[str, Any] = {}
    for (*where, name), value in statistics(np.ones((1, films))).items():
        _level(figures, where)[name] = plain(value[0])
    return figures


def _level(figures: dict[str, Any], where: Sequence[str]) -> dict[str, Any]:
    for step in where:
        figures = figures.setdefault(step, {})
    return figures


def without_intervals(level: Mapping[str, Any]) -> dict[str, Any]:
    """One level's figures alone."""
    return {name: value for name, value in level.items() if name != "interval_95"}


def mean_over_films(values: Floats, weights: Floats) -> Floats:
    """Weighted mean of what each film contributes, values [N], weights [B, N] -> [B]; undefined (NaN) films are left out."""
    defined = ~np.isnan(values)
    return ratio(weights[..., defined] @ values[defined], weights[..., defined].sum(axis=-1))


def plain(value: float | np.floating[Any] | Floats) -> float | None:
    """A JSON number, rounded to what float32 probabilities can bear; NaN becomes None."""
    number = float(value)
    return None if math.isnan(number) else round(number, 6)
