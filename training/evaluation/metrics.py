"""Every figure of one evaluation, as plain JSON values: headline, per class, per source, with 95 % intervals.

Truth and probabilities in, numbers out: knows no files, bundles or pictures.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

from service.contract.findings import FINDINGS, Finding
from training.evaluation.bootstrap import FigurePath, bootstrap_intervals
from training.evaluation.calibration import brier_score, log_loss, one_vs_rest_ece, top_label_ece
from training.evaluation.confusion import ConfusionMatrix, Floats, Labels, mean_of_defined
from training.evaluation.discrimination import one_vs_rest_auc, pair_auc

_COUNTED = ("precision", "recall", "specificity", "f1")
_TUBERCULOSIS = FINDINGS.index(Finding.TUBERCULOSIS)


@dataclass(frozen=True)
class Judgements:
    """What was true and what the model said, film by film.

    labels: int [N], indices into FINDINGS; probabilities: [N, C], calibrated; sources: [N], "" if unknown;
    groups: [N], films of one patient share one.
    """

    labels: Labels
    probabilities: Floats
    sources: tuple[str, ...]
    groups: tuple[str, ...]

    def __post_init__(self) -> None:
        n = len(self.labels)
        if n == 0 or self.probabilities.shape != (n, len(FINDINGS)) or {len(self.sources), len(self.groups)} != {n}:
            raise ValueError(
                f"{n} labels need probabilities [{n}, {len(FINDINGS)}], {n} sources and {n} groups; found "
                f"{list(self.probabilities.shape)}, {len(self.sources)} and {len(self.groups)}"
            )

    @cached_property
    def predicted(self) -> Labels:
        """The most probable finding, int [N]: the balanced operating point."""
        return self.probabilities.argmax(axis=1)

    @cached_property
    def confusion(self) -> ConfusionMatrix:
        """The one confusion matrix, unweighted."""
        return ConfusionMatrix.of(self.labels, self.predicted, len(FINDINGS))

    def of_source(self, source: str) -> npt.NDArray[np.bool_]:
        """Which films come from `source`, bool [N]."""
        return np.array([name == source for name in self.sources])


def measure(judgements: Judgements, *, resamples: int = 1000, seed: int = 0) -> dict[str, Any]:
    """All figures of `judgements`; undefined ones are None. resamples: bootstrap draws over groups; seed: of those draws.

    Each level holds plain values and, beside them, `interval_95`: {figure: [low, high]}.
    """

    def statistics(weights: Floats) -> dict[FigurePath, Floats]:
        return {
            **_overall(judgements, weights),
            **_per_class(judgements, weights),
            **_per_source(judgements, weights),
        }

    values, intervals = bootstrap_intervals(statistics, judgements.groups, resamples=resamples, seed=seed)
    matrix = judgements.confusion
    measured: dict[str, Any] = {
        "n": len(judgements.labels),
        "groups": len(set(judgements.groups)),
        "bootstrap": {"resamples": resamples, "seed": seed, "over": "groups", "level": 0.95},
        "confusion_matrix": {
            "rows": "truth",
            "columns": "prediction",
            "findings": list(FINDINGS),
            "counts": matrix.counts.astype(int).tolist(),
        },
        "macro": {name: plain(matrix.macro(getattr(matrix, name))) for name in _COUNTED},
        "weighted": {name: plain(matrix.weighted(getattr(matrix, name))) for name in _COUNTED},
        "per_class": {finding.value: {"support": int(n)} for finding, n in zip(FINDINGS, matrix.support, strict=True)},
        "per_source": {source: _counts_of(judgements, source) for source in sorted(set(judgements.sources))},
    }
    for path, value in values.items():
        *where, figure = path
        level = measured
        for name in where:
            level = level.setdefault(name, {})
        level[figure] = plain(value)
        low, high = intervals[path]
        level.setdefault("interval_95", {})[figure] = [plain(low), plain(high)]
    return measured


def _overall(judgements: Judgements, weights: Floats) -> dict[FigurePath, Floats]:
    labels, probabilities = judgements.labels, judgements.probabilities
    matrix = ConfusionMatrix.of(labels, judgements.predicted, len(FINDINGS), weights)
    return {
        ("headline", "accuracy"): matrix.accuracy,
        ("headline", "macro_auc"): mean_of_defined(one_vs_rest_auc(labels, probabilities, weights)),
        ("headline", "macro_f1"): matrix.macro(matrix.f1),
        ("headline", "tuberculosis_recall"): matrix.recall[..., _TUBERCULOSIS],
        ("headline", "macro_ece"): mean_of_defined(one_vs_rest_ece(labels, probabilities, weights)),
        ("calibration", "top_label_ece"): top_label_ece(labels, probabilities, weights),
        ("calibration", "brier_score"): brier_score(labels, probabilities, weights),
        ("calibration", "log_loss"): log_loss(labels, probabilities, weights),
    }


def _per_class(judgements: Judgements, weights: Floats) -> dict[FigurePath, Floats]:
    labels, probabilities = judgements.labels, judgements.probabilities
    matrix = ConfusionMatrix.of(labels, judgements.predicted, len(FINDINGS), weights)
    figures = {name: getattr(matrix, name) for name in _COUNTED}
    figures["auc"] = one_vs_rest_auc(labels, probabilities, weights)
    figures["ece"] = one_vs_rest_ece(labels, probabilities, weights)
    return {
        ("per_class", finding.value, name): per_class[..., index]
        for index, finding in enumerate(FINDINGS)
        for name, per_class in figures.items()
    }


def _per_source(judgements: Judgements, weights: Floats) -> dict[FigurePath, Floats]:
    """Figures that a source can bear: accuracy, recall of its classes, and AUC between each two of them."""
    figures: dict[FigurePath, Floats] = {}
    for source in sorted(set(judgements.sources)):
        chosen = judgements.of_source(source)
        labels, probabilities, shares = judgements.labels[chosen], judgements.probabilities[chosen], weights[..., chosen]
        matrix = ConfusionMatrix.of(labels, judgements.predicted[chosen], len(FINDINGS), shares)
        figures["per_source", source, "accuracy"] = matrix.accuracy
        present = [index for index in range(len(FINDINGS)) if np.any(labels == index)]
        for index in present:
            figures["per_source", source, "recall", FINDINGS[index].value] = matrix.recall[..., index]
        for negative, positive in combinations(present, 2):
            pair = f"{FINDINGS[positive].value} vs {FINDINGS[negative].value}"
            figures["per_source", source, "auc", pair] = pair_auc(labels, probabilities, positive, negative, shares)
    return figures


def _counts_of(judgements: Judgements, source: str) -> dict[str, Any]:
    labels = judgements.labels[judgements.of_source(source)]
    support = {finding.value: int(np.sum(labels == index)) for index, finding in enumerate(FINDINGS)}
    return {"n": len(labels), "support": {name: n for name, n in support.items() if n}}


def plain(value: float | np.floating[Any] | Floats) -> float | None:
    """A JSON number, rounded to what float32 probabilities can bear; NaN becomes None."""
    number = float(value)
    return None if math.isnan(number) else round(number, 6)
