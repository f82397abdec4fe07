"""Nested cross-validation: no film is judged by what its patient has fitted."""

import numpy as np
import pytest

from tests.support.training.site_films import site_films, site_manifest
from training.commissioning.fitting import nested
from training.commissioning.fitting.nested import Classifier, nested_cross_validation


def test_no_patient_is_on_both_sides(monkeypatch: pytest.MonkeyPatch):
    films = site_films((30, 0, 30), films_per_patient=3, released=1.0)
    fitted_to: list[tuple[str, ...]] = []
    adjust = nested.adjust

    def watched(given, *others):
        fitted_to.append(given.patients)
        return adjust(given, *others)

    split: list[tuple[str, ...]] = []
    patient_folds = nested.patient_folds

    def watched_folds(labels, patients, seed):
        split.append(tuple(patients))
        return patient_folds(labels, patients, seed)

    judged: list[set[str]] = []
    answers_of = nested.answers_of

    def watched_answers(probabilities, given, manifest):
        judged.append(set(given.patients))
        return answers_of(probabilities, given, manifest)

    monkeypatch.setattr(nested, "adjust", watched)
    monkeypatch.setattr(nested, "patient_folds", watched_folds)
    monkeypatch.setattr(nested, "answers_of", watched_answers)
    found = nested_cross_validation(films, site_manifest(), 0)
    assert split == [films.patients, *fitted_to]  # the outer folds, and the inner ones of each
    assert found.adjusted
    assert len(judged) == len(Classifier) * len(fitted_to)
    for number, patients in enumerate(judged):
        others = set(fitted_to[number % len(fitted_to)])
        assert not others & patients
        assert others | patients == set(films.patients)


def test_answers_are_in_the_order_of_the_films():
    films = site_films((30, 30, 30), planted=6.0)
    answers = nested_cross_validation(films, site_manifest(), 0).adjusted[Classifier.HEAD]
    assert (answers.probabilities.argmax(axis=1) == films.labels).mean() > 0.9
    np.testing.assert_array_equal(answers.called, answers.probabilities.argmax(axis=1))


def test_the_released_bundle_answers_with_its_own_thresholds():
    films, manifest = site_films((20, 0, 20), released=1.0), site_manifest()
    answers = nested_cross_validation(films, manifest, 0).released
    least = 1 - manifest.conformal.quantiles["Normal"]
    np.testing.assert_array_equal(answers.sets[:, 0], answers.probabilities[:, 0] >= least)
