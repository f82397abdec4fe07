"""Two classes of one source apart from each other: the comparison in which the hospital gives nothing away."""

from collections.abc import Iterator, Sequence
from itertools import combinations

import numpy as np

from service.model.findings import FINDINGS
from training.evaluation.measures.bootstrap import FigurePath
from training.evaluation.measures.confusion import Floats, Labels
from training.evaluation.measures.discrimination import pair_auc


def source_pairs(labels: Labels, sources: Sequence[str]) -> Iterator[tuple[str, int, int]]:
    """(source, negative, positive) for every two classes, indices into FINDINGS, of which a source holds films."""
    names = np.asarray(sources)
    for source in sorted(set(sources)):
        present = sorted(set(labels[names == source].tolist()))
        for negative, positive in combinations(present, 2):
            yield source, negative, positive


def within_source_auc(
    labels: Labels, probabilities: Floats, sources: Sequence[str], weights: Floats
) -> dict[FigurePath, Floats]:
    """AUC of each pair within each source, {(source, "Positive vs Negative"): [B]}; see `pair_auc`. weights: [B, N]."""
    names = np.asarray(sources)
    figures: dict[FigurePath, Floats] = {}
    for source, negative, positive in source_pairs(labels, sources):
        of_source = names == source
        areas = pair_auc(labels[of_source], probabilities[of_source], positive, negative, weights[..., of_source])
        figures[source, pair_name(negative, positive)] = areas
    return figures


def pair_name(negative: int, positive: int) -> str:
    """Such as "Tuberculosis vs Normal"."""
    return f"{FINDINGS[positive].value} vs {FINDINGS[negative].value}"
