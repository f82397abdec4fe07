"""Calibration of probabilities: ECE, Brier score, log loss and the bins of a reliability diagram."""

from dataclasses import dataclass

import numpy as np

from training.evaluation.measures.confusion import FilmMask, Floats, Labels, ratio

# The customary number (Guo et al. 2017, arXiv:1706.04599).
ECE_BINS = 15

# Keeps the log loss of a confident error finite; the floor that scikit-learn uses is of the same order for float64.
_LOG_FLOOR = 1e-15


@dataclass(frozen=True)
class ReliabilityBins:
    """Equal-width bins of confidence, each [bins]; means and shares of empty bins are NaN."""

    count: Floats  # number of films
    mean_confidence: Floats  # what was claimed
    observed: Floats  # share of events


def reliability_bins(events: FilmMask, confidence: Floats) -> ReliabilityBins:
    """ECE_BINS bins of claims (confidence, [N] in 0..1) beside what happened (events, [N])."""
    membership = _membership(confidence, ECE_BINS)
    count = membership.sum(axis=0)
    return ReliabilityBins(count, ratio(confidence @ membership, count), ratio(events.astype(float) @ membership, count))


def expected_calibration_error(
    events: FilmMask, confidence: Floats, weights: Floats | None = None, bins: int = ECE_BINS
) -> Floats:
    """Mean gap between claimed and observed frequency over equal-width bins, weighted by their films.

    events, confidence: [N]; weights: [..., N] (default: 1 each). Returns [...] in 0..1. Bins are [k/bins, (k+1)/bins), the
    last one closed.
    """
    weights = np.ones(len(confidence)) if weights is None else weights
    surplus = _membership(confidence, bins) * (confidence - events)[:, None]
    return ratio(np.abs(weights @ surplus).sum(axis=-1), weights.sum(axis=-1))


def one_vs_rest_ece(labels: Labels, probabilities: Floats, weights: Floats | None = None) -> Floats:
    """Classwise ECE: each class's probability as the claim "this film shows it"; [N, C] -> [..., C] (Kull et al. 2019,
    arXiv:1910.12656). Its mean is the macro ECE.
    """
    classes = range(probabilities.shape[1])
    return np.stack([expected_calibration_error(labels == c, probabilities[:, c], weights) for c in classes], axis=-1)


def top_label_ece(labels: Labels, probabilities: Floats, weights: Floats | None = None) -> Floats:
    """ECE of the largest probability as the claim "the prediction is right"."""
    return expected_calibration_error(probabilities.argmax(axis=1) == labels, probabilities.max(axis=1), weights)


def brier_score(labels: Labels, probabilities: Floats, weights: Floats | None = None) -> Floats:
    """Squared distance to the truth, summed over classes, averaged over films; 0..2 (Brier 1950)."""
    weights = np.ones(len(labels)) if weights is None else weights
    truth = np.eye(probabilities.shape[1])[labels]
    return ratio(weights @ ((probabilities - truth) ** 2).sum(axis=1), weights.sum(axis=-1))


def log_loss(labels: Labels, probabilities: Floats, weights: Floats | None = None) -> Floats:
    """Mean negative log likelihood of the truth, in nats."""
    weights = np.ones(len(labels)) if weights is None else weights
    of_truth = np.maximum(probabilities[np.arange(len(labels)), labels], _LOG_FLOOR)
    return ratio(weights @ -np.log(of_truth), weights.sum(axis=-1))


def _membership(confidence: Floats, bins: int) -> Floats:
    """1 for the bin of each confidence, [N] in 0..1, else 0; [N, bins]."""
    return np.eye(bins)[np.minimum((confidence * bins).astype(np.intp), bins - 1)]
