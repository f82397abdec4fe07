"""Calibration of probabilities: ECE, Brier score, log loss and the bins of a reliability diagram."""

from dataclasses import dataclass

import numpy as np

from training.evaluation.measures.confusion import FilmMask, Floats, Labels, ratio

# As in Guo et al. 2017 (arXiv:1706.04599).
ECE_BINS = 15

# Keeps the log loss finite where the true class has a probability of 0.
_LOG_FLOOR = 1e-15


@dataclass(frozen=True)
class ReliabilityBins:
    """Films binned by confidence; every array is [bins]. Mean and share of an empty bin are NaN."""

    count: Floats  # number of films
    mean_confidence: Floats
    observed: Floats  # share of films on which the event happened


def reliability_bins(events: FilmMask, confidence: Floats) -> ReliabilityBins:
    """Bin claims (confidence, float [N] in 0..1) into ECE_BINS bins of equal width, beside what happened (events, bool [N])."""
    membership = _membership(confidence, ECE_BINS)
    count = membership.sum(axis=0)
    return ReliabilityBins(count, ratio(confidence @ membership, count), ratio(events.astype(float) @ membership, count))


def expected_calibration_error(
    events: FilmMask, confidence: Floats, weights: Floats | None = None, bins: int = ECE_BINS
) -> Floats:
    """ECE: gap between mean confidence and observed share of each bin, averaged over bins with their films as weights.

    events, confidence: [N]; weights: [..., N] (default: 1 each). Returns [...] in 0..1. Bins are [k/bins, (k+1)/bins), the
    last one closed.
    """
    weights = np.ones(len(confidence)) if weights is None else weights
    excess = _membership(confidence, bins) * (confidence - events)[:, None]
    return ratio(np.abs(weights @ excess).sum(axis=-1), weights.sum(axis=-1))


def one_vs_rest_ece(labels: Labels, probabilities: Floats, weights: Floats | None = None) -> Floats:
    """Classwise ECE (Kull et al. 2019, arXiv:1910.12656): the event is that the film is of the class. [N, C] -> [..., C].

    Its mean over the classes is the macro ECE.
    """
    classes = range(probabilities.shape[1])
    return np.stack([expected_calibration_error(labels == c, probabilities[:, c], weights) for c in classes], axis=-1)


def top_label_ece(labels: Labels, probabilities: Floats, weights: Floats | None = None) -> Floats:
    """ECE of the largest probability; the event is that the prediction is right. [N, C] -> [...]."""
    return expected_calibration_error(probabilities.argmax(axis=1) == labels, probabilities.max(axis=1), weights)


def brier_score(labels: Labels, probabilities: Floats, weights: Floats | None = None) -> Floats:
    """Squared distance to the one-hot truth, summed over classes, averaged over films; [N, C] -> [...] in 0..2 (Brier 1950)."""
    weights = np.ones(len(labels)) if weights is None else weights
    truth = np.eye(probabilities.shape[1])[labels]
    return ratio(weights @ ((probabilities - truth) ** 2).sum(axis=1), weights.sum(axis=-1))


def log_loss(labels: Labels, probabilities: Floats, weights: Floats | None = None) -> Floats:
    """Mean negative log likelihood of the true class, in nats; [N, C] -> [...]."""
    weights = np.ones(len(labels)) if weights is None else weights
    of_truth = np.maximum(probabilities[np.arange(len(labels)), labels], _LOG_FLOOR)
    return ratio(weights @ -np.log(of_truth), weights.sum(axis=-1))


def _membership(confidence: Floats, bins: int) -> Floats:
    """One-hot bin of each confidence: [N] in 0..1 -> [N, bins]."""
    return np.eye(bins)[np.minimum((confidence * bins).astype(np.intp), bins - 1)]
