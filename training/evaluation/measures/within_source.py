"""Ranking two classes within one source, where recognising the hospital does not help."""

from collections.abc import Iterator, Sequence
from itertools import combinations

import numpy as np
import numpy.typing as npt

from service.model.findings import FINDINGS
from training.evaluation.measures.bootstrap import MetricPath
from training.evaluation.measures.confusion import Floats, Labels
from training.evaluation.measures.discrimination import pair_auc


def source_pairs(labels: Labels, sources: Sequence[str] | npt.NDArray[np.str_]) -> Iterator[tuple[str, int, int]]:
    """(source, negative, positive) for every two classes, indices into FINDINGS, of which a source holds films."""
    names = np.asarray(sources)
    for source in sorted(set(names.tolist())):
        present = sorted(set(labels[names == source].tolist()))
        for negative, positive in combinations(present, 2):
            yield source, negative, positive


def within_source_auc(
    labels: Labels, probabilities: Floats, sources: Sequence[str] | npt.NDArray[np.str_], weights: Floats
) -> dict[MetricPath, Floats]:
    """AUC of each pair within each source, {(source, "Positive vs Negative"): [B]}; see `pair_auc`. weights: [B, N]."""
    names = np.asarray(sources)
    areas: dict[MetricPath, Floats] = {}
    for source, negative, positive in source_pairs(labels, sources):
        of_source = names == source
        area = pair_auc(labels[of_source], probabilities[of_source], positive, negative, weights[..., of_source])
        areas[source, pair_name(negative, positive)] = area
    return areas


def pair_name(negative: int, positive: int) -> str:
    """Such as "Tuberculosis vs Normal"."""
    return f"{FINDINGS[positive].value} vs {FINDINGS[negative].value}"
