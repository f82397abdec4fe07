"""Conformal prediction sets: scores of how badly a finding fits a film, their quantile, and the sets that follow.

Split conformal prediction (Angelopoulos & Bates, arXiv:2107.07511): take the quantile from films that the network was not
trained on. The set of all findings whose score is at most the quantile then contains the truth with the promised probability,
for films of the same distribution. Arrays in, arrays out. Export fits the released sets, evaluation compares them with others.
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

    With a quantile below 0.5, a set has at most one finding.
    """
    return 1.0 - probabilities.astype(np.float64)


def adaptive_scores(
    probabilities: Floats, *, penalty: float = 0.0, free: int = 1, draws: npt.NDArray[np.float64] | None = None
) -> npt.NDArray[np.float64]:
    """Probability of all findings at least as probable, this one included, [N, C]: APS (Romano et al., arXiv:2006.02544).

    penalty: added for each rank beyond the first `free` ones (RAPS, Angelopoulos et al., arXiv:2009.14193). draws: uniform in
    0..1, [N], the share of a finding's own probability that counts; without them all of it counts, so that sets are not random
    but larger.
    """
    order = np.argsort(-probabilities, axis=1, kind="stable")
    ranked = np.take_along_axis(probabilities.astype(np.float64), order, axis=1)
    counted = 1.0 if draws is None else draws[:, None]
    ranks = np.arange(1, probabilities.shape[1] + 1)
    scores = np.cumsum(ranked, axis=1) - ranked * (1.0 - counted) + penalty * np.maximum(ranks - free, 0)
    unordered = np.empty_like(scores)
    np.put_along_axis(unordered, order, scores, axis=1)
    return unordered


def conformal_quantile(scores: Floats, coverage: float) -> float:
    """Quantile of the true findings' scores [N], with the correction for finite N; infinite if N is too small for it.

    The true finding of a new film scores at most this with at least the given probability, if the film is exchangeable with
    those of the scores (arXiv:2107.07511, section 1).
    """
    rank = math.ceil((len(scores) + 1) * coverage - 1e-9)  # 0.9 * 10 must not become 9.000000000000002
    return float(np.sort(scores)[rank - 1]) if rank <= len(scores) else math.inf


def class_quantiles(scores: Floats, labels: Labels, coverage: float, classes: int) -> npt.NDArray[np.float64]:
    """One quantile per class, from its own films, [C]: each class gets the coverage (Vovk 2012, arXiv:1209.2673).

    scores: of the true findings, [N]; labels: [N] in 0..classes-1.
    """
    return np.array([conformal_quantile(scores[labels == index], coverage) for index in range(classes)])


def sets_of(scores: Floats, quantiles: float | npt.NDArray[np.float64], *, never_empty_of: Floats | None = None) -> Sets:
    """Which findings are in each film's set, bool [N, C]. quantiles: one, or one per class.

    never_empty_of: probabilities [N, C]; the most probable finding is always in the set.
    """
    sets = scores <= quantiles
    if never_empty_of is not None:
        sets[np.arange(len(sets)), never_empty_of.argmax(axis=1)] = True
    return sets
