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
    """Share of each class among the films that the probabilities were calibrated on, [3].

    They are those of the test split, which was drawn like the validation split and whose counts are in the manifest. For a
    bundle that has not been evaluated, they are equal.
    """
    counts = manifest.test_metrics.get("confusion_matrix", {}).get("counts")
    films = np.ones(len(FINDINGS)) if counts is None else np.asarray(counts, dtype=float).sum(axis=1)
    return np.asarray(films / films.sum())


def estimate_shares(probabilities: Floats, calibrated_to: Floats, weights: Floats | None = None) -> Floats:
    """Shares of the classes by expectation maximisation (Saerens et al. 2002, doi:10.1162/089976602753284446), [..., 3].

    Assumes that the films of each class look as they do where the probabilities [N, 3] were calibrated, and that only the
    shares differ from `calibrated_to` [3]. On four hospitals with 10 to 70 % diseased films, chest-xray 1.1.1 is off by up to
    0.12; by black-box shift estimation (arXiv:1802.03916) it is by up to 0.17, by counting its predictions by up to 0.21.

    weights: [..., N], how often each film counts (default: once).
    """
    weights = np.ones(len(probabilities)) if weights is None else weights
    shares = np.broadcast_to(calibrated_to, (*weights.shape[:-1], len(FINDINGS)))
    total = weights.sum(axis=-1)[..., None]
    for _ in range(_ITERATIONS):
        ratios = shares / calibrated_to
        # Expected films of class c: sum over the films of p_c * ratio_c / sum_k(p_k * ratio_k).
        evidence = ratios @ probabilities.T
        shares = ratios * ((weights / evidence) @ probabilities) / total
    return np.asarray(shares)


def intervals(probabilities: Floats, calibrated_to: Floats, patients: Sequence[str], seed: int) -> tuple[Floats, Floats]:
    """Lower and upper 95 % bounds of the shares over patients, [3] each, if the assumption of `estimate_shares` holds."""
    blocks = Bootstrap(_RESAMPLES, seed).group_weights(patients)
    samples = np.concatenate([estimate_shares(probabilities, calibrated_to, weights) for weights in blocks])
    low, high = np.quantile(samples, [0.025, 0.975], axis=0)
    return low, high
