"""Nested cross-validation by patient: everything is fitted again without each fold, and judged on the films of that fold."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy.special import softmax
from tqdm import tqdm

from service.model.manifest import ModelManifest
from training.commissioning.cases import SiteFilms
from training.commissioning.fitting.decisions import Answers, answers_of
from training.commissioning.fitting.folds import patient_folds
from training.commissioning.fitting.head import PENALTIES, Cases, HeadValues, fit_heads, mean_head, out_of_fold_logits, weigh
from training.commissioning.fitting.thresholds import fit_thresholds
from training.evaluation.measures.confusion import Floats

# Parts of a profile that replace members of the bundle's manifest.
THRESHOLDS = (OPERATING_POINTS, CONFORMAL, REVIEW, OUTLIERS) = ("operating_points", "conformal", "review", "outliers")


class Classifier(StrEnum):
    """The released head, the released head with a scale and offsets of the site, or a head of the site's own."""

    RELEASED = "released"
    OFFSETS = "offsets"
    HEAD = "head"


@dataclass(frozen=True)
class Adjustment:
    """One classifier fitted to films, and thresholds for its answers."""

    head: HeadValues | None  # None: the released one
    temperature: float  # of the bundle; divides the logits if there is no head
    manifest: ModelManifest  # of the bundle, with the site's thresholds

    def probabilities(self, cases: Cases) -> Floats:
        """Calibrated probabilities of films, [N, 3]."""
        if self.head is None:
            return np.asarray(softmax(cases.released / self.temperature, axis=1))
        return np.asarray(softmax(self.head.logits(cases.released, cases.units), axis=1))


@dataclass(frozen=True)
class NestedAnswers:
    """Answers to all films, each by what was fitted without the film's patient."""

    films: SiteFilms
    manifest: ModelManifest  # of the bundle
    # Of each fold, the indices of its films, and what was fitted to all other films
    folds: tuple[tuple[npt.NDArray[np.intp], Mapping[Classifier, Adjustment]], ...]

    def answers(self, classifier: Classifier, thresholds: Collection[str]) -> Answers:
        """The classifier's answers. thresholds: parts whose fitted values are used; all others are the bundle's."""
        answered = []
        for fold, fitted in self.folds:
            chosen, left_out = fitted[classifier], self.films.only(fold)
            manifest = self.manifest.model_copy(update={name: getattr(chosen.manifest, name) for name in thresholds})
            probabilities = chosen.probabilities(Cases.of(left_out, self.manifest.temperature))
            answered.append((fold, answers_of(probabilities, left_out, manifest)))
        return Answers.joined(answered)

    @cached_property
    def released(self) -> Answers:
        """The bundle's own answers."""
        return self.answers(Classifier.RELEASED, ())

    @cached_property
    def adjusted(self) -> Mapping[Classifier, Answers]:
        """Each classifier's answers, with all thresholds of the site."""
        return {classifier: self.answers(classifier, THRESHOLDS) for classifier in Classifier}


def adjust(films: SiteFilms, manifest: ModelManifest, seed: int) -> dict[Classifier, Adjustment]:
    """Fit each classifier to all films, and all thresholds to its out-of-fold answers."""
    cases = Cases.of(films, manifest.temperature)
    logits = out_of_fold_logits(cases, patient_folds(films.labels, films.patients, seed))
    heads = fit_heads(cases)
    weights = {Classifier.OFFSETS: np.eye(len(PENALTIES))[PENALTIES.index(None)], Classifier.HEAD: weigh(logits, films.labels)}
    adjusted = {Classifier.RELEASED: _adjustment(None, films.logits / manifest.temperature, films, manifest)}
    for classifier, each in weights.items():
        adjusted[classifier] = _adjustment(mean_head(heads, each), np.tensordot(each, logits, 1), films, manifest)
    return adjusted


def nested_cross_validation(films: SiteFilms, manifest: ModelManifest, seed: int) -> NestedAnswers:
    """Fit everything without each fold in turn. films: as many as `folds.require_enough` demands."""
    folds = []
    outer = patient_folds(films.labels, films.patients, seed)
    for number, fold in enumerate(tqdm(outer, desc="Fitting and judging by patient", unit="fold", disable=None, leave=False)):
        others = np.setdiff1d(np.arange(len(films)), fold)
        # Another seed for each fold, so that the inner folds differ.
        folds.append((fold, adjust(films.only(others), manifest, seed + number + 1)))
    return NestedAnswers(films, manifest, tuple(folds))


def _adjustment(head: HeadValues | None, logits: Floats, films: SiteFilms, manifest: ModelManifest) -> Adjustment:
    """Fit thresholds to the head's out-of-fold logits [N, 3], which are calibrated."""
    return Adjustment(head, manifest.temperature, fit_thresholds(softmax(logits, axis=1), films, manifest))
