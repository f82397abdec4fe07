"""Area under the ROC curve: how well scores rank, whatever the threshold. Knows no thresholds and no calibration."""

import numpy as np
import numpy.typing as npt

from training.evaluation.confusion import Floats, Labels, ratio

# Below float32's smallest normal number a softmax output is 0; the floor keeps logarithms finite.
_SMALLEST = float(np.finfo(np.float32).tiny)


def auc(positive: npt.NDArray[np.bool_], scores: Floats, weights: Floats | None = None) -> Floats:
    """Probability that a positive film scores above a negative one, ties counting half (Hanley & McNeil 1982).

    positive, scores: [N]; weights: [..., N], each film's share (default: 1 each). Returns [...]; NaN without a positive or
    without a negative film.
    """
    weights = np.ones(len(scores)) if weights is None else weights
    if len(scores) == 0:
        return np.full(weights.shape[:-1], np.nan)
    order = np.argsort(scores, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(scores[order]) > 0])
    ordered = weights[..., order]
    positives = np.add.reduceat(ordered * positive[order], starts, axis=-1)
    negatives = np.add.reduceat(ordered * ~positive[order], starts, axis=-1)
    below = np.cumsum(negatives, axis=-1) - negatives / 2
    return ratio(np.sum(positives * below, axis=-1), positives.sum(axis=-1) * negatives.sum(axis=-1))


def one_vs_rest_auc(labels: Labels, probabilities: Floats, weights: Floats | None = None) -> Floats:
    """AUC of each class against all others; probabilities [N, C] -> [..., C]."""
    classes = range(probabilities.shape[1])
    return np.stack([auc(labels == c, probabilities[:, c], weights) for c in classes], axis=-1)


def pair_auc(labels: Labels, probabilities: Floats, positive: int, negative: int, weights: Floats | None = None) -> Floats:
    """AUC of one class against one other, on their films only; the score is the log odds of the two.

    The third class plays no part: a film that is called neither is still ranked by which of the two it resembles more.
    """
    of_pair = (labels == positive) | (labels == negative)
    likely = np.log(np.maximum(probabilities[of_pair], _SMALLEST))
    shares = None if weights is None else weights[..., of_pair]
    return auc(labels[of_pair] == positive, likely[:, positive] - likely[:, negative], shares)
