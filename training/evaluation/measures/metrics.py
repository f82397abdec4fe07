"""The metrics of every evaluation as plain JSON values: headline, per class, per source, with 95 % intervals.

Arrays in, numbers out: knows no files, bundles or plots.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from service.model.findings import FINDINGS, Finding
from training.evaluation.measures.bootstrap import Bootstrap, MetricPath, Statistics
from training.evaluation.measures.calibration import one_vs_rest_ece
from training.evaluation.measures.confusion import ConfusionMatrix, FilmMask, Floats, Labels
from training.evaluation.measures.discrimination import one_vs_rest_auc, within_source_auc

_FROM_COUNTS = ("precision", "recall", "specificity", "f1")
_TUBERCULOSIS = FINDINGS.index(Finding.TUBERCULOSIS)


@dataclass(frozen=True)
class Judgements:
    """True class and predicted probabilities of each film."""

    labels: Labels  # true classes, indices into FINDINGS, int [N]
    probabilities: Floats  # float [N, C], in the order of FINDINGS
    sources: tuple[str, ...]  # [N]
    groups: tuple[str, ...]  # [N]; shared by the films of one patient

    @cached_property
    def predicted(self) -> Labels:
        """The most probable class, int [N]: what the operating point `balanced` calls."""
        return self.probabilities.argmax(axis=1)

    @cached_property
    def confusion(self) -> ConfusionMatrix:
        """Counts [C, C] of the films, each counted once."""
        return ConfusionMatrix.of(self.labels, self.predicted, len(FINDINGS))

    @property
    def source_names(self) -> list[str]:
        """The distinct sources, sorted."""
        return sorted(set(self.sources))

    def of_source(self, source: str) -> FilmMask:
        """Which films come from `source`, bool [N]."""
        return np.array([name == source for name in self.sources])


def measure(judgements: Judgements, bootstrap: Bootstrap) -> dict[str, Any]:
    """All metrics of `judgements`, as metrics.json holds them; undefined ones are None.

    Each level holds plain values and, beside them, `interval_95`: {metric: [low, high]}.
    """
    matrix = judgements.confusion
    measured: dict[str, Any] = {
        "n": len(judgements.labels),
        "groups": len(set(judgements.groups)),
        "bootstrap": {"resamples": bootstrap.resamples, "seed": bootstrap.seed, "over": "groups", "level": 0.95},
        "confusion_matrix": {
            "rows": "truth",
            "columns": "prediction",
            "findings": list(FINDINGS),
            "counts": matrix.counts.astype(int).tolist(),
        },
        "per_class": {finding.value: {"support": int(n)} for finding, n in zip(FINDINGS, matrix.support, strict=True)},
        "per_source": {source: _counts_of(judgements, source) for source in judgements.source_names},
    }
    return bootstrap.measure(film_statistics(judgements), judgements.groups, into=measured)


def film_statistics(judgements: Judgements) -> Statistics:
    """Every metric of `measure` as a function of the film weights."""
    return lambda weights: _overall_and_per_class(judgements, weights) | _per_source(judgements, weights)


def _overall_and_per_class(judgements: Judgements, weights: Floats) -> dict[MetricPath, Floats]:
    labels, probabilities = judgements.labels, judgements.probabilities
    matrix = ConfusionMatrix.of(labels, judgements.predicted, len(FINDINGS), weights)
    by_class = {
        **{name: getattr(matrix, name) for name in _FROM_COUNTS},
        "auc": one_vs_rest_auc(labels, probabilities, weights),
        "ece": one_vs_rest_ece(labels, probabilities, weights),
    }
    macro = {name: matrix.macro(per_class) for name, per_class in by_class.items()}
    values: dict[MetricPath, Floats] = {
        ("headline", "accuracy"): matrix.accuracy,
        ("headline", "macro_auc"): macro["auc"],
        ("headline", "macro_f1"): macro["f1"],
        ("headline", "tuberculosis_recall"): matrix.recall[..., _TUBERCULOSIS],
        ("headline", "macro_ece"): macro["ece"],
    }
    for name, per_class in by_class.items():
        values["macro", name] = macro[name]
        values["weighted", name] = matrix.weighted(per_class)
        values |= {("per_class", finding.value, name): per_class[..., index] for index, finding in enumerate(FINDINGS)}
    return values


def _per_source(judgements: Judgements, weights: Floats) -> dict[MetricPath, Floats]:
    """Accuracy, recall of each class that the source holds, and AUC of each two of these classes."""
    values: dict[MetricPath, Floats] = {}
    for source in judgements.source_names:
        films = judgements.of_source(source)
        labels = judgements.labels[films]
        matrix = ConfusionMatrix.of(labels, judgements.predicted[films], len(FINDINGS), weights[..., films])
        values["per_source", source, "accuracy"] = matrix.accuracy
        for index, finding in enumerate(FINDINGS):
            if np.any(labels == index):
                values["per_source", source, "recall", finding.value] = matrix.recall[..., index]
    areas = within_source_auc(judgements.labels, judgements.probabilities, judgements.sources, weights)
    return values | {("per_source", source, "auc", pair): area for (source, pair), area in areas.items()}


def _counts_of(judgements: Judgements, source: str) -> dict[str, Any]:
    labels = judgements.labels[judgements.of_source(source)]
    support = {finding.value: int(np.sum(labels == index)) for index, finding in enumerate(FINDINGS)}
    return {"n": len(labels), "support": {name: n for name, n in support.items() if n}}
