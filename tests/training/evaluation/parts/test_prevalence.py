"""Predictive values by prevalence."""

import numpy as np
import pytest
from sklearn import metrics as sk

from training.evaluation.parts.prevalence import negative_predictive_value, positive_predictive_value


def test_predictive_values_are_those_of_the_films_at_the_films_own_prevalence():
    rng = np.random.default_rng(2)
    positive = rng.random(200) < 0.3
    scores = np.round(rng.normal(0, 1, 200) + 1.2 * positive, 1)
    called = scores > 0.8
    sensitivity, specificity = np.array(called[positive].mean()), np.array((~called[~positive]).mean())
    found = positive_predictive_value(sensitivity, specificity, positive.mean())
    assert found == pytest.approx(sk.precision_score(positive, called))
    found = negative_predictive_value(sensitivity, specificity, positive.mean())
    assert found == pytest.approx(sk.precision_score(~positive, ~called))


def test_predictive_values_by_hand():
    # Of 10,000 people 100 are ill: 90 found, 10 missed; of 9,900 healthy ones 495 are called ill.
    sensitivity, specificity = np.array(0.9), np.array(0.95)
    assert positive_predictive_value(sensitivity, specificity, 0.01) == pytest.approx(90 / (90 + 495))
    assert negative_predictive_value(sensitivity, specificity, 0.01) == pytest.approx(9405 / (9405 + 10))


def test_a_test_without_skill_leaves_the_prevalence_and_one_that_calls_nobody_has_no_positive_value():
    assert positive_predictive_value(np.array(0.3), np.array(0.7), 0.05) == pytest.approx(0.05)
    assert np.isnan(positive_predictive_value(np.array(0.0), np.array(1.0), 0.05))
    np.testing.assert_allclose(negative_predictive_value(np.array([1.0, 0.5]), np.array([0.5, 0.5]), 0.2), [1.0, 0.8])
