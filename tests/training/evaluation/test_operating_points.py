"""Thresholds in use: points of the ROC curve, thresholds that move between splits, and predictive values by prevalence."""

import numpy as np
import pytest
from sklearn import metrics as sk

from training.evaluation.measures.discrimination import (
    average_precision,
    sensitivity_at_specificity,
    specificity_at_sensitivity,
)
from training.evaluation.parts.prevalence import negative_predictive_value, positive_predictive_value
from training.evaluation.parts.screening import threshold_of_sensitivity


def scored_films(n: int = 200) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Truth, scores with ties, and four rows of bootstrap weights."""
    rng = np.random.default_rng(2)
    positive = rng.random(n) < 0.3
    return positive, np.round(rng.normal(0, 1, n) + 1.2 * positive, 1), rng.integers(0, 4, (4, n)).astype(float)


@pytest.mark.parametrize("wanted", [0.5, 0.9, 0.95, 1.0])
def test_the_best_points_of_the_curve_are_those_of_scikit_learn(wanted):
    positive, scores, weights = scored_films()
    for row in weights:
        false_alarms, sensitivity, _ = sk.roc_curve(positive, scores, sample_weight=row, drop_intermediate=False)
        best = sensitivity[1 - false_alarms >= wanted - 1e-9].max()
        assert sensitivity_at_specificity(positive, scores, wanted, row) == pytest.approx(best)
        best = (1 - false_alarms)[sensitivity >= wanted - 1e-9].max()
        assert specificity_at_sensitivity(positive, scores, wanted, row) == pytest.approx(best)
    together = sensitivity_at_specificity(positive, scores, wanted, weights)
    assert together.shape == (4,)
    assert together[0] == sensitivity_at_specificity(positive, scores, wanted, weights[0])


def test_points_of_a_curve_by_hand():
    positive, scores = np.array([0, 0, 1, 0, 1, 1], bool), np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
    assert sensitivity_at_specificity(positive, scores, 1.0) == pytest.approx(2 / 3)
    assert sensitivity_at_specificity(positive, scores, 0.66) == pytest.approx(1.0)
    assert specificity_at_sensitivity(positive, scores, 1.0) == pytest.approx(2 / 3)
    assert np.isnan(sensitivity_at_specificity(np.ones(6, bool), scores, 0.9))
    assert np.isnan(specificity_at_sensitivity(np.zeros(6, bool), scores, 0.9))


def test_average_precision_equals_scikit_learn_with_ties_and_weights():
    positive, scores, weights = scored_films()
    expected = [sk.average_precision_score(positive, scores, sample_weight=row) for row in weights]
    np.testing.assert_allclose(average_precision(positive, scores, weights), expected)
    assert np.isnan(average_precision(np.zeros(200, bool), scores))


def test_a_threshold_keeps_its_sensitivity_and_is_the_highest_that_does():
    positive = np.r_[np.ones(10, bool), np.zeros(5, bool)]
    scores = np.r_[np.arange(1, 11) / 10, np.full(5, 0.95)]
    assert threshold_of_sensitivity(positive, scores, 0.9) == 0.2
    assert threshold_of_sensitivity(positive, scores, 0.95) == 0.1
    assert threshold_of_sensitivity(positive, scores, 0.1) == 1.0


def test_predictive_values_by_hand():
    # Of 10,000 people 100 are ill: 90 found, 10 missed; of 9,900 healthy ones 495 are called ill.
    sensitivity, specificity = np.array(0.9), np.array(0.95)
    assert positive_predictive_value(sensitivity, specificity, 0.01) == pytest.approx(90 / (90 + 495))
    assert negative_predictive_value(sensitivity, specificity, 0.01) == pytest.approx(9405 / (9405 + 10))


def test_predictive_values_are_those_of_the_films_at_the_films_own_prevalence():
    positive, scores, _ = scored_films()
    called = scores > 0.8
    sensitivity, specificity = np.array(called[positive].mean()), np.array((~called[~positive]).mean())
    found = positive_predictive_value(sensitivity, specificity, positive.mean())
    assert found == pytest.approx(sk.precision_score(positive, called))
    found = negative_predictive_value(sensitivity, specificity, positive.mean())
    assert found == pytest.approx(sk.precision_score(~positive, ~called))


def test_a_test_without_skill_leaves_the_prevalence_and_one_that_calls_nobody_has_no_positive_value():
    assert positive_predictive_value(np.array(0.3), np.array(0.7), 0.05) == pytest.approx(0.05)
    assert np.isnan(positive_predictive_value(np.array(0.0), np.array(1.0), 0.05))
    np.testing.assert_allclose(negative_predictive_value(np.array([1.0, 0.5]), np.array([0.5, 0.5]), 0.2), [1.0, 0.8])
