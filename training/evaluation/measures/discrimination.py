"""Areas under the ROC curve: of each class against the others, and of two classes within one source.

Within one source, recognising the hospital does not help to tell two classes apart.
"""

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from service.model.findings import FINDINGS
from training.evaluation.measures.bootstrap import MetricPath
from training.evaluation.measures.confusion import FilmMask, Floats, Labels, mean_of_defined, ratio

# Softmax in float32 can underflow to 0; this floor keeps the logarithm finite.
_SMALLEST = float(np.finfo(np.float32).tiny)


def auc(positive: FilmMask, scores: Floats, weights: Floats | None = None) -> Floats:
    """Probability that a positive film scores above a negative one, ties counting half (Hanley & McNeil 1982).

    positive, scores: [N]; weights: [..., N] (default: 1 each). Returns [...]; NaN without a positive or without a negative
    film.
    """
    positives, negatives = _by_score(positive, scores, weights)
    negatives_below = np.cumsum(negatives, axis=-1) - negatives / 2
    return ratio(np.sum(positives * negatives_below, axis=-1), positives.sum(axis=-1) * negatives.sum(axis=-1))


def one_vs_rest_auc(labels: Labels, probabilities: Floats, weights: Floats | None = None) -> Floats:
    """AUC of each class against all others; probabilities [N, C], weights as in `auc` -> [..., C]."""
    classes = range(probabilities.shape[1])
    return np.stack([auc(labels == c, probabilities[:, c], weights) for c in classes], axis=-1)


def macro_auc(labels: Labels, probabilities: Floats, weights: Floats | None = None) -> Floats:
    """Mean of the one-vs-rest AUC over the classes where it is defined; weights: [..., N]. Returns [...]."""
    return mean_of_defined(one_vs_rest_auc(labels, probabilities, weights))


def within_source_auc(
    labels: Labels, probabilities: Floats, sources: Sequence[str], weights: Floats
) -> dict[MetricPath, Floats]:
    """`pair_auc` of every two classes within each source: {(source, "Positive vs Negative"): [B]}; weights: [B, N]."""
    names = np.asarray(sources)
    areas: dict[MetricPath, Floats] = {}
    for source in sorted(set(sources)):
        chosen = names == source
        for negative, positive in combinations(sorted(set(labels[chosen].tolist())), 2):
            area = pair_auc(labels[chosen], probabilities[chosen], positive, negative, weights[..., chosen])
            areas[source, f"{FINDINGS[positive].value} vs {FINDINGS[negative].value}"] = area
    return areas


def pair_auc(labels: Labels, probabilities: Floats, positive: int, negative: int, weights: Floats | None = None) -> Floats:
    """AUC of one class against one other, on the films of these two; the score is the log odds of the two classes.

    The third class does not matter: a film predicted as the third class is still ranked by the odds of the other two.
    positive, negative: indices into FINDINGS; weights: [..., N] (default: 1 each). Returns [...].
    """
    of_pair = (labels == positive) | (labels == negative)
    log_probabilities = np.log(np.maximum(probabilities[of_pair], _SMALLEST))
    log_odds = log_probabilities[:, positive] - log_probabilities[:, negative]
    return auc(labels[of_pair] == positive, log_odds, None if weights is None else weights[..., of_pair])


def _by_score(positive: FilmMask, scores: Floats, weights: Floats | None) -> tuple[Floats, Floats]:
    """Total weight of the positive and of the negative films at each distinct score, ascending: two arrays [..., T]."""
    weights = np.ones(len(scores)) if weights is None else weights
    if len(scores) == 0:
        return np.zeros((*weights.shape[:-1], 0)), np.zeros((*weights.shape[:-1], 0))
    order = np.argsort(scores, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(scores[order]) > 0])
    ordered = weights[..., order]
    positives = np.add.reduceat(ordered * positive[order], starts, axis=-1)
    return positives, np.add.reduceat(ordered * ~positive[order], starts, axis=-1)
