"""Bootstrap intervals over groups: films of one patient are drawn together, since they are not independent."""

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from training.evaluation.measures.confusion import Floats

# Where a figure stands in the report, for example ("per_class", "Normal", "recall").
FigurePath = tuple[str, ...]

# Film weights [B, N] -> the value of each figure under each set of weights, [B].
Statistics = Callable[[Floats], Mapping[FigurePath, Floats]]

# Replicates computed at once; bounds memory at a few times 100 x films x 8 bytes.
_BLOCK = 100


def bootstrap_intervals(
    statistics: Statistics, groups: Sequence[str], *, resamples: int, seed: int, level: float = 0.95, lowest: float = 0.0
) -> tuple[dict[FigurePath, float], dict[FigurePath, tuple[float, float]]]:
    """Value and interval of every figure that `statistics` computes; NaN where it is undefined.

    groups: [N], the patient or group of each film. The same draws serve all figures, so their intervals are comparable.
    lowest: the least value that a figure can have.
    """
    values = {key: float(value[0]) for key, value in statistics(np.ones((1, len(groups)))).items()}
    blocks = [statistics(weights) for weights in group_weights(groups, resamples, seed)]
    replicates = {key: np.concatenate([block[key] for block in blocks]) for key in values}
    return values, {key: centred_interval(values[key], replicates[key], level, lowest) for key in values}


def group_weights(groups: Sequence[str], resamples: int, seed: int) -> Iterator[Floats]:
    """Yield blocks [<= 100, N] of film weights: how often each film's group was drawn, with replacement."""
    members = np.unique(np.asarray(groups), return_inverse=True)[1]
    count = int(members.max()) + 1
    rng = np.random.default_rng(seed)
    for start in range(0, resamples, _BLOCK):
        draws = rng.multinomial(count, np.full(count, 1 / count), size=min(_BLOCK, resamples - start))
        yield draws[:, members].astype(float)


def centred_interval(value: float, replicates: Floats, level: float = 0.95, lowest: float = 0.0) -> tuple[float, float]:
    """Percentile interval (Efron & Tibshirani 1993, ch. 13) of the replicates, shifted so that their median is `value`.

    The shift is negligible for shares and AUC, but matters for ECE: resampling adds noise to every bin, so that nearly all its
    replicates lie above the estimate. What the estimate itself has too much stays in the interval; the part `calibration`
    measures it. Bounds stay within `lowest` and the largest replicate. Replicates that are NaN (a class was not drawn) are left
    out; without a defined one the interval is NaN.
    """
    defined = replicates[~np.isnan(replicates)]
    if np.isnan(value) or defined.size == 0:
        return float("nan"), float("nan")
    low, middle, high = np.quantile(defined, [(1 - level) / 2, 0.5, (1 + level) / 2])
    low, high = np.clip([low - middle + value, high - middle + value], lowest, max(value, float(defined.max())))
    return float(low), float(high)
