"""The confusion matrix and the metrics derived from its counts (REPORT Tables 18 and 19). Knows no probabilities."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

Labels = npt.NDArray[np.intp]
Floats = npt.NDArray[np.float64]

# One truth value for each film, [N].
FilmMask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class ConfusionMatrix:
    """counts: float [..., C, C], rows are the truth, columns the prediction; leading axes are bootstrap samples.

    An undefined metric (0 / 0) is NaN, and averages leave it out. But the precision of a class that has films and is never
    predicted is 0, so that ignoring a class does not raise the average.
    """

    counts: Floats

    @classmethod
    def of(cls, labels: Labels, predicted: Labels, classes: int, weights: Floats | None = None) -> "ConfusionMatrix":
        """Count films. labels, predicted: int [N] in 0..classes-1; weights: [..., N] (default: 1 each)."""
        weights = np.ones(len(labels)) if weights is None else weights
        cells = np.eye(classes * classes)[labels * classes + predicted]
        return cls((weights @ cells).reshape(*weights.shape[:-1], classes, classes))

    @cached_property
    def true_positives(self) -> Floats:
        """Correct calls of each class, [..., C]."""
        return np.diagonal(self.counts, axis1=-2, axis2=-1)

    @cached_property
    def support(self) -> Floats:
        """Films of each true class, [..., C]."""
        return self.counts.sum(axis=-1)

    @cached_property
    def called(self) -> Floats:
        """Films predicted as each class, [..., C]."""
        return self.counts.sum(axis=-2)

    @cached_property
    def total(self) -> Floats:
        """All films, [...]."""
        return self.support.sum(axis=-1)

    @cached_property
    def accuracy(self) -> Floats:
        """Share of films predicted correctly, [...]."""
        return ratio(self.true_positives.sum(axis=-1), self.total)

    @cached_property
    def recall(self) -> Floats:
        """Sensitivity: share of a class's films that are predicted as this class, [..., C]."""
        return ratio(self.true_positives, self.support)

    @cached_property
    def precision(self) -> Floats:
        """Positive predictive value: share of the films predicted as a class that are of this class, [..., C]."""
        precision = ratio(self.true_positives, self.called)
        return np.where((self.called == 0) & (self.support > 0), 0.0, precision)

    @cached_property
    def specificity(self) -> Floats:
        """Share of the other classes' films that are not predicted as this class, [..., C]."""
        others = self.total[..., None] - self.support
        return ratio(others - (self.called - self.true_positives), others)

    @cached_property
    def f1(self) -> Floats:
        """Harmonic mean of precision and recall, [..., C]."""
        return ratio(2 * self.true_positives, self.called + self.support)

    def macro(self, per_class: Floats) -> Floats:
        """Unweighted mean over the classes that have films, where the metric is defined, [..., C] -> [...].

        One false positive of a class without films would otherwise count as much as all films of another class.
        """
        return mean_of_defined(np.where(self.support > 0, per_class, np.nan))

    def weighted(self, per_class: Floats) -> Floats:
        """Mean over the classes where the metric is defined, weighted by support, [..., C] -> [...]."""
        shares = np.where(np.isnan(per_class), 0.0, self.support)
        return ratio(np.nansum(per_class * shares, axis=-1), shares.sum(axis=-1))


def ratio(numerator: Floats, denominator: Floats) -> Floats:
    """Element-wise quotient; 0 / 0 is NaN, without a warning."""
    numerator, denominator = np.broadcast_arrays(np.asarray(numerator, float), np.asarray(denominator, float))
    return np.divide(numerator, denominator, out=np.full(denominator.shape, np.nan), where=denominator != 0)


def mean_of_defined(values: Floats) -> Floats:
    """Mean over the last axis, without NaN; NaN if nothing else is left."""
    return ratio(np.nansum(values, axis=-1), np.sum(~np.isnan(values), axis=-1).astype(float))
