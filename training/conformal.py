"""Conformal prediction sets: scores of how ill a finding fits a film, their quantile, and the sets that follow.

Split conformal prediction (Angelopoulos & Bates, arXiv:2107.07511): calibrate the quantile on films that the network was not
fitted to, and a set of every finding whose score is at most the quantile holds the truth as often as promised, for films drawn
like those. Arrays in, arrays out; knows neither films nor the network. Export fits the released sets, evaluation compares them
with others.
"""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating[Any]]
Labels = npt.NDArray[np.integer[Any]]
Sets = npt.NDArray[np.bool_]


def threshold_scores(probabilities: Floats) -> npt.NDArray[np.float64]:
    """1 - p of every finding, [N, C]: sets of least mean size (Sadinle et al. 2019, arXiv:1609.00451).

    A quantile below 0.5 leaves room for one finding at most.
    """
    return 1.0 - probabilities.astype(np.float64)


def adaptive_scores(
    probabilities: Floats, *, penalty: float = 0.0, free: int = 1, draws: npt.NDArray[np.float64] | None = None
) -> npt.NDArray[np.float64]:
    """Probability of all findings at least as probable, this one included, [N, C]: APS (Romano et al., arXiv:2006.02544).

    With a penalty it is RAPS (Angelopoulos et al., arXiv:2009.14193): each place in the order beyond the first `free` ones
    adds it. draws: uniform in 0..1, [N], the share of a finding's own probability that counts; without them all of it does,
    so that a film's set is no matter of chance, at the price of larger sets.
    """
    order = np.argsort(-probabilities, axis=1, kind="stable")
    ranked = np.take_along_axis(probabilities.astype(np.float64), order, axis=1)
    counted = 1.0 if draws is None else draws[:, None]
    places = np.arange(1, probabilities.shape[1] + 1)
    scores = np.cumsum(ranked, axis=1) - ranked * (1.0 - counted) + penalty * np.maximum(places - free, 0)
    unordered = np.empty_like(scores)
    np.put_along_axis(unordered, order, scores, axis=1)
    return unordered


def conformal_quantile(scores: Floats, coverage: float) -> float:
    """Quantile of the true findings' scores [N], with the correction for finite N; infinite if N is too small for it.

    A new film's true finding scores no more than this with at least the given probability, if the film is exchangeable with
    those of the scores (arXiv:2107.07511, section 1).
    """
    rank = math.ceil((len(scores) + 1) * coverage - 1e-9)  # 0.9 * 10 must not become 9.000000000000002
    return float(np.sort(scores)[rank - 1]) if rank <= len(scores) else math.inf


def class_quantiles(scores: Floats, labels: Labels, coverage: float, classes: int) -> npt.NDArray[np.float64]:
    """One quantile a class, from its own films alone, [C]: promises the coverage to each (Vovk 2012, arXiv:1209.2673).

    scores: of the true findings, [N]; labels: [N] in 0..classes-1.
    """
    return np.array([conformal_quantile(scores[labels == index], coverage) for index in range(classes)])


def sets_of(scores: Floats, quantiles: float | npt.NDArray[np.float64], *, never_empty_of: Floats | None = None) -> Sets:
    """Which findings belong to each film's set, bool [N, C]. quantiles: one, or one a class.

    never_empty_of: probabilities [N, C] whose largest is in the set in any case.
    """
    sets = scores <= quantiles
    if never_empty_of is not None:
        sets[np.arange(len(sets)), never_empty_of.argmax(axis=1)] = True
    return sets
