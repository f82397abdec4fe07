"""Values with bootstrap intervals, as nested JSON: {..., name: value, "interval_95": {name: [low, high]}}.

Whole groups are resampled, since films of one patient are not independent.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from training.evaluation.measures.confusion import Floats, ratio

# Where a value stands in metrics.json, for example ("per_class", "Normal", "recall").
MetricPath = tuple[str, ...]

# Film weights [B, N] -> the value of each metric under each set of weights, [B]; NaN where it is undefined.
Statistics = Callable[[Floats], Mapping[MetricPath, Floats]]

# Bootstrap samples computed at once; memory is a few times 100 x films x 8 bytes.
_BLOCK = 100


@dataclass(frozen=True)
class Bootstrap:
    """The bootstrap samples behind intervals: the same ones for every metric, so that intervals are comparable."""

    resamples: int  # number of samples; each draws as many groups as there are, with replacement
    seed: int

    def measure(
        self, statistics: Statistics, groups: Sequence[str], *, into: dict[str, Any] | None = None, lowest: float = 0.0
    ) -> dict[str, Any]:
        """Nest all values of `statistics` by their paths, and beside them `interval_95`; undefined ones are None.

        groups: [N], the patient or group of each film. into: the dictionary to add to and return; a new one by default.
        lowest: the least value that a metric can have.
        """
        values, intervals = self.intervals(statistics, groups, lowest)
        measured: dict[str, Any] = {} if into is None else into
        for (*where, name), value in values.items():
            level = _level(measured, where)
            level[name] = plain(value)
            level.setdefault("interval_95", {})[name] = [plain(bound) for bound in intervals[(*where, name)]]
        return measured

    def intervals(
        self, statistics: Statistics, groups: Sequence[str], lowest: float = 0.0
    ) -> tuple[dict[MetricPath, float], dict[MetricPath, tuple[float, float]]]:
        """Value and 95 % interval of every metric; NaN where it is undefined."""
        values = {path: float(value[0]) for path, value in statistics(np.ones((1, len(groups)))).items()}
        blocks = [statistics(weights) for weights in self.group_weights(groups)]
        samples = {path: np.concatenate([block[path] for block in blocks]) for path in values}
        return values, {path: centred_interval(value, samples[path], lowest) for path, value in values.items()}

    def group_weights(self, groups: Sequence[str]) -> Iterator[Floats]:
        """Yield film weights, how often each film's group was drawn, in blocks float [B, N] of at most 100 samples."""
        members = np.unique(np.asarray(groups), return_inverse=True)[1]
        count = int(members.max()) + 1
        rng = np.random.default_rng(self.seed)
        for start in range(0, self.resamples, _BLOCK):
            draws = rng.multinomial(count, np.full(count, 1 / count), size=min(_BLOCK, self.resamples - start))
            yield draws[:, members].astype(float)


def centred_interval(value: float, samples: Floats, lowest: float = 0.0) -> tuple[float, float]:
    """95 % percentile interval (Efron & Tibshirani 1993, ch. 13) of the samples, shifted so that their median is `value`.

    The shift is negligible for shares and AUC, but matters for ECE: resampling adds noise to every bin, so that nearly all
    samples lie above the estimate. The estimate's own bias remains; the part `calibration` measures it. The bounds are clipped
    to `lowest` and to the largest sample, or `value` if that is larger. NaN samples (a class was not drawn) are left out;
    without any other the interval is NaN.
    """
    defined = samples[~np.isnan(samples)]
    if np.isnan(value) or defined.size == 0:
        return float("nan"), float("nan")
    low, middle, high = np.quantile(defined, [(1 - 0.95) / 2, 0.5, (1 + 0.95) / 2])
    low, high = np.clip([low - middle + value, high - middle + value], lowest, max(value, float(defined.max())))
    return float(low), float(high)


def without_intervals(level: Mapping[str, Any]) -> dict[str, Any]:
    """The values of one level, without `interval_95`."""
    return {name: value for name, value in level.items() if name != "interval_95"}


def plain_values(statistics: Statistics, films: int) -> dict[str, Any]:
    """All values of `statistics`, nested by their paths, without intervals. films: N."""
    measured: dict[str, Any] = {}
    for (*where, name), value in statistics(np.ones((1, films))).items():
        _level(measured, where)[name] = plain(value[0])
    return measured


def mean_over_films(values: Floats, weights: Floats) -> Floats:
    """Weighted mean of one value a film: values [N], weights [B, N] -> [B]. Films whose value is NaN are left out."""
    defined = ~np.isnan(values)
    return ratio(weights[..., defined] @ values[defined], weights[..., defined].sum(axis=-1))


def plain(value: float | np.floating[Any] | Floats) -> float | None:
    """A JSON number, rounded to six decimals, about the precision of float32 probabilities; NaN becomes None."""
    number = float(value)
    return None if math.isnan(number) else round(number, 6)


def _level(values: dict[str, Any], where: Sequence[str]) -> dict[str, Any]:
    for step in where:
        values = values.setdefault(step, {})
    return values
