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
from training.evaluation.calibration import one_vs_rest_ece
from training.evaluation.confusion import ConfusionMatrix, Floats, Labels
from training.evaluation.discrimination import auc, average_precision, one_vs_rest_auc, pair_auc

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

    @property
    def source_names(self) -> list[str]:
        """Every source once, sorted."""
        return sorted(set(self.sources))

    def of_source(self, source: str) -> npt.NDArray[np.bool_]:
        """Which films come from `source`, bool [N]."""
        return np.array([name == source for name in self.sources])


def measure(judgements: Judgements, *, resamples: int = 1000, seed: int = 0) -> dict[str, Any]:
    """All figures of `judgements`; undefined ones are None. resamples: bootstrap draws over groups; seed: of those draws.

    Each level holds plain values and, beside them, `interval_95`: {figure: [low, high]}.
    """

    def statistics(weights: Floats) -> dict[FigurePath, Floats]:
        return {
            **_overall_and_per_class(judgements, weights),
            **_per_source(judgements, weights),
            **_per_source_and_class(judgements, weights),
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
        "per_class": {finding.value: {"support": int(n)} for finding, n in zip(FINDINGS, matrix.support, strict=True)},
        "per_source": {source: _counts_of(judgements, source) for source in judgements.source_names},
        "per_source_and_class": {
            source: {name: {"support": n} for name, n in _counts_of(judgements, source)["support"].items()}
            for source in judgements.source_names
        },
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


def _overall_and_per_class(judgements: Judgements, weights: Floats) -> dict[FigurePath, Floats]:
    labels, probabilities = judgements.labels, judgements.probabilities
    matrix = ConfusionMatrix.of(labels, judgements.predicted, len(FINDINGS), weights)
    precisions = [average_precision(labels == c, probabilities[:, c], weights) for c in range(len(FINDINGS))]
    of_classes = {
        **{name: getattr(matrix, name) for name in _COUNTED},
        "auc": one_vs_rest_auc(labels, probabilities, weights),
        "average_precision": np.stack(precisions, axis=-1),
        "ece": one_vs_rest_ece(labels, probabilities, weights),
    }
    macro = {name: matrix.macro(per_class) for name, per_class in of_classes.items()}
    figures: dict[FigurePath, Floats] = {
        ("headline", "accuracy"): matrix.accuracy,
        ("headline", "macro_auc"): macro["auc"],
        ("headline", "macro_f1"): macro["f1"],
        ("headline", "tuberculosis_recall"): matrix.recall[..., _TUBERCULOSIS],
        ("headline", "macro_ece"): macro["ece"],
    }
    for name, per_class in of_classes.items():
        figures["macro", name] = macro[name]
        figures["weighted", name] = matrix.weighted(per_class)
        figures |= {("per_class", finding.value, name): per_class[..., index] for index, finding in enumerate(FINDINGS)}
    return figures


def _per_source(judgements: Judgements, weights: Floats) -> dict[FigurePath, Floats]:
    """Figures that a source can bear: accuracy, recall of its classes, and AUC between each two of them."""
    figures: dict[FigurePath, Floats] = {}
    for source in judgements.source_names:
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


def _per_source_and_class(judgements: Judgements, weights: Floats) -> dict[FigurePath, Floats]:
    """Each class of a source against its others. Where it has no others, recall alone says something."""
    figures: dict[FigurePath, Floats] = {}
    for source in judgements.source_names:
        chosen = judgements.of_source(source)
        labels, probabilities, shares = judgements.labels[chosen], judgements.probabilities[chosen], weights[..., chosen]
        matrix = ConfusionMatrix.of(labels, judgements.predicted[chosen], len(FINDINGS), shares)
        present = [index for index in range(len(FINDINGS)) if np.any(labels == index)]
        for index in present:
            of_class = {"recall": matrix.recall[..., index]}
            if len(present) > 1:
                of_class |= {name: getattr(matrix, name)[..., index] for name in _COUNTED}
                of_class["auc"] = auc(labels == index, probabilities[:, index], shares)
            figures |= {
                ("per_source_and_class", source, FINDINGS[index].value, name): value for name, value in of_class.items()
            }
    return figures


def _counts_of(judgements: Judgements, source: str) -> dict[str, Any]:
    labels = judgements.labels[judgements.of_source(source)]
    support = {finding.value: int(np.sum(labels == index)) for index, finding in enumerate(FINDINGS)}
    return {"n": len(labels), "support": {name: n for name, n in support.items() if n}}


def plain(value: float | np.floating[Any] | Floats) -> float | None:
    """A JSON number, rounded to what float32 probabilities can bear; NaN becomes None."""
    number = float(value)
    return None if math.isnan(number) else round(number, 6)
