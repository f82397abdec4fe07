"""Shares of the classes among unlabelled films, from calibrated probabilities. Arrays in, numbers out."""

from collections.abc import Sequence

import numpy as np

from service.model.findings import FINDINGS
from service.model.manifest import ModelManifest
from training.evaluation.measures.bootstrap import Bootstrap
from training.evaluation.measures.confusion import Floats

# EM converges slowly where the classes overlap; more iterations change less than 0.01.
_ITERATIONS = 200

_RESAMPLES = 500


def training_shares(manifest: ModelManifest) -> Floats:
    """Share of each class among the films that the probabilities are calibrated to, [3].

    Of the test split, which was drawn like the validation split, and whose counts are in the manifest; equal ones in a bundle
    that has not been evaluated.
    """
    counts = manifest.test_metrics.get("confusion_matrix", {}).get("counts")
    films = np.ones(len(FINDINGS)) if counts is None else np.asarray(counts, dtype=float).sum(axis=1)
    return np.asarray(films / films.sum())


def estimate_shares(probabilities: Floats, calibrated_to: Floats, weights: Floats | None = None) -> Floats:
    """Shares of the classes by expectation maximisation (Saerens et al. 2002, doi:10.1162/089976602753284446), [..., 3].

    Right if the films of each class look as they do where the probabilities [N, 3] were calibrated, and only the shares
    `calibrated_to` [3] are others. On four hospitals mixed to 10 to 70 % diseased, chest-xray 1.1.1 is off by up to 0.12 so;
    black-box shift estimation (arXiv:1802.03916) by up to 0.17, the share of films called so by up to 0.21.

    weights: [..., N], how often each film counts (default: once).
    """
    weights = np.ones(len(probabilities)) if weights is None else weights
    shares = np.broadcast_to(calibrated_to, (*weights.shape[:-1], len(FINDINGS)))
    total = weights.sum(axis=-1)[..., None]
    for _ in range(_ITERATIONS):
        ratios = shares / calibrated_to
        # Share of film n in class c: p * ratio over its sum; summed over films.
        evidence = ratios @ probabilities.T
        shares = ratios * ((weights / evidence) @ probabilities) / total
    return np.asarray(shares)


def intervals(probabilities: Floats, calibrated_to: Floats, patients: Sequence[str], seed: int) -> tuple[Floats, Floats]:
    """95 % bounds of the shares over samples of patients, [3] and [3]. They say nothing of films that look otherwise here."""
    blocks = Bootstrap(_RESAMPLES, seed).group_weights(patients)
    samples = np.concatenate([estimate_shares(probabilities, calibrated_to, weights) for weights in blocks])
    low, high = np.quantile(samples, [0.025, 0.975], axis=0)
    return low, high
