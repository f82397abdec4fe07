"""Judgements drawn at random, for tests of metrics."""

import numpy as np

from training.evaluation.measures.metrics import Judgements


def random_judgements(n: int = 240, seed: int = 3) -> Judgements:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, n)
    logits = rng.normal(0, 1, (n, 3)) + 1.2 * np.eye(3)[labels]
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    sources = tuple(np.where(labels == 1, "clinic", np.where(np.arange(n) % 2 == 0, "mixed", "clinic")))
    return Judgements(labels, probabilities, sources, tuple(f"patient-{i // 2}" for i in range(n)))
