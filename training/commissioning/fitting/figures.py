"""Figures of answers to a site's films: with intervals, and with standard errors that tell a difference from chance."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

from service.model.findings import FINDINGS, Finding
from training.commissioning.cases import Figures, SiteFilms
from training.commissioning.fitting.decisions import Answers
from training.evaluation.measures.bootstrap import Bootstrap, MetricPath, Statistics
from training.evaluation.measures.calibration import log_loss, top_label_ece
from training.evaluation.measures.confusion import ConfusionMatrix, Floats, mean_of_defined, ratio
from training.evaluation.measures.discrimination import pair_auc

RESAMPLES = 1000

# In standard errors. A figure must be better by BETTER, two-sided 95 % as the report's intervals. The AUC must exceed 0.5 by
# APART, a one-sided 99.95 %, so that random labels do not pass even if they are tried many times.
BETTER = 1.96
APART = 3.291

# Half the width of the interval that makes a figure useful.
_USEFUL = 0.05
_Z_95 = 1.96


@dataclass(frozen=True)
class Bounded:
    """A value and its bootstrap standard error over patients."""

    value: float
    error: float

    def at_least(self, z: float) -> float:
        """The lower bound, z standard errors below; NaN if the value is undefined."""
        return self.value - z * self.error

    def at_most(self, z: float) -> float:
        """The upper bound, z standard errors above; NaN if the value is undefined."""
        return self.value + z * self.error


def film_statistics(films: SiteFilms, answers: Answers) -> Statistics:
    """The figures of `Acceptance`, as a function of the films' weights."""
    labels, present = films.labels, films.present
    wrong = (answers.probabilities.argmax(axis=1) != labels).astype(float)
    covered = answers.sets[np.arange(len(labels)), labels].astype(float)
    sizes, flagged = answers.sets.sum(axis=1).astype(float), answers.flagged.astype(float)

    def statistics(weights: Floats) -> dict[MetricPath, Floats]:
        total = weights.sum(axis=-1)
        values: dict[MetricPath, Floats] = {
            ("macro_auc",): within_site_auc(labels, answers.probabilities, weights),
            ("accuracy",): 1 - ratio(weights @ wrong, total),
            ("ece",): top_label_ece(labels, answers.probabilities, weights),
            ("log_loss",): log_loss(labels, answers.probabilities, weights),
            ("coverage",): ratio(weights @ covered, total),
            ("set_size",): ratio(weights @ sizes, total),
            ("review_rate",): ratio(weights @ flagged, total),
            ("errors_flagged",): ratio(weights @ (wrong * flagged), weights @ wrong),
        }
        matrix = ConfusionMatrix.of(labels, answers.called, len(FINDINGS), weights)
        for index in present:
            where, of_class = ("per_class", FINDINGS[index].value), (labels == index).astype(float)
            values[*where, "sensitivity"] = matrix.recall[..., index]
            values[*where, "specificity"] = matrix.specificity[..., index]
            values[*where, "coverage"] = ratio(weights @ (of_class * covered), weights @ of_class)
        if FINDINGS.index(Finding.TUBERCULOSIS) in present:
            tuberculosis = (labels == FINDINGS.index(Finding.TUBERCULOSIS)).astype(float)
            suspected = answers.suspected.astype(float)
            values["tb_screening", "sensitivity"] = ratio(weights @ (tuberculosis * suspected), weights @ tuberculosis)
            values["tb_screening", "specificity"] = ratio(
                weights @ ((1 - tuberculosis) * (1 - suspected)), weights @ (1 - tuberculosis)
            )
        return values

    return statistics


def within_site_auc(labels: npt.NDArray[np.int64], probabilities: Floats, weights: Floats | None = None) -> Floats:
    """Mean AUC over all pairs of classes that have films, by the difference of their logits; weights [..., N] -> [...]."""
    pairs = combinations(np.unique(labels).tolist(), 2)
    return mean_of_defined(
        np.stack([pair_auc(labels, probabilities, positive, negative, weights) for negative, positive in pairs], axis=-1)
    )


def measure(films: SiteFilms, before: Answers, after: Answers, seed: int) -> tuple[Figures, Figures, Figures]:
    """Figures of `before`, of `after`, and after minus before, on the same bootstrap samples of patients."""
    bootstrap = Bootstrap(RESAMPLES, seed)
    first, second = film_statistics(films, before), film_statistics(films, after)

    def difference(weights: Floats) -> dict[MetricPath, Floats]:
        start, end = first(weights), second(weights)
        return {path: end[path] - start[path] for path in start}

    return (
        bootstrap.measure(first, films.patients),
        bootstrap.measure(second, films.patients),
        bootstrap.measure(difference, films.patients, lowest=-math.inf),
    )


def bounds(films: SiteFilms, answers: Answers, other: Answers | None, seed: int) -> Mapping[MetricPath, Bounded]:
    """Each defined figure of `answers`, or answers minus `other` if there are others, with its standard error."""
    first, second = film_statistics(films, answers), None if other is None else film_statistics(films, other)

    def statistics(weights: Floats) -> Mapping[MetricPath, Floats]:
        values = first(weights)
        if second is None:
            return values
        others = second(weights)
        return {path: values[path] - others[path] for path in values}

    blocks = [statistics(weights) for weights in Bootstrap(RESAMPLES, seed).group_weights(films.patients)]
    values = statistics(np.ones((1, len(films))))
    return {
        path: Bounded(float(value[0]), float(np.nanstd(np.concatenate([block[path] for block in blocks]))))
        for path, value in values.items()
        if not np.isnan(value[0])
    }


def tells_apart(films: SiteFilms, answers: Answers, seed: int) -> bool:
    """Whether the mean AUC within the site is above 0.5 beyond chance.

    The bootstrap's standard error is too small where few films happen to be ranked well, so it counts as at least the one under
    random labels.
    """
    found = bounds(films, answers, None, seed)[("macro_auc",)]
    return Bounded(found.value, max(found.error, _error_of_random_labels(films))).at_least(APART) > 0.5


def films_needed(figures: Figures, films: Mapping[Finding, int]) -> dict[Finding, int]:
    """Films of each finding for a 95 % interval of +-0.05 around its sensitivity, where that is known.

    By Agresti & Coull (1998, The American Statistician 52): two right and two wrong films are added, or a sensitivity of 1 on
    few films would need no films at all.
    """
    needed = {}
    for finding, count in films.items():
        sensitivity = figures["per_class"].get(finding.value, {}).get("sensitivity") if count else None
        if sensitivity is not None:
            likely = (sensitivity * count + 2) / (count + 4)
            needed[finding] = math.ceil(likely * (1 - likely) * (_Z_95 / _USEFUL) ** 2)
    return needed


def share_with_interval(chosen: npt.NDArray[np.bool_], patients: Sequence[str], seed: int) -> dict[str, Any]:
    """{"share": of the films, "interval_95"}."""
    values = chosen.astype(float)
    return Bootstrap(RESAMPLES, seed).measure(
        lambda weights: {("share",): ratio(weights @ values, weights.sum(axis=-1))}, patients
    )


def _error_of_random_labels(films: SiteFilms) -> float:
    """Standard error of the mean AUC under random labels (Mann & Whitney 1947), counting patients instead of films."""
    patients = np.asarray(films.patients)
    of_class = [len(np.unique(patients[films.labels == index])) for index in films.present]
    variances = [(first + second + 1) / (12 * first * second) for first, second in combinations(of_class, 2)]
    return math.sqrt(sum(variances) / len(variances))  # the mean is no surer than one pair: pairs share films
