"""Shares of the classes from probabilities alone."""

import numpy as np
import pytest
from scipy.special import softmax

from tests.support.manifests import make_manifest
from training.commissioning.fitting.shares import estimate_shares, intervals, training_shares

EQUAL = np.full(3, 1 / 3)


def answers(shares: tuple[float, float, float], films: int = 3000, seed: int = 0) -> np.ndarray:
    """True probabilities under equal shares, of films whose classes have other shares."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat(np.arange(3), np.round(np.array(shares) * films).astype(int)))
    # Normal densities of variance 1, two apart: the log likelihood of each class is 2 * coordinate, up to what they share.
    coordinates = rng.normal(size=(len(labels), 3)) + 2 * np.eye(3)[labels]
    return softmax(2 * coordinates, axis=1)


@pytest.mark.parametrize("shares", [(0.8, 0.15, 0.05), (0.1, 0.1, 0.8), (1 / 3, 1 / 3, 1 / 3)])
def test_the_shares_are_found_where_each_class_looks_as_in_training(shares: tuple[float, float, float]):
    np.testing.assert_allclose(estimate_shares(answers(shares), EQUAL), shares, atol=0.02)


def test_it_does_not_matter_which_shares_the_probabilities_are_calibrated_to():
    probabilities, calibrated_to = answers((0.7, 0.1, 0.2)), np.array([0.2, 0.5, 0.3])
    other = probabilities * calibrated_to
    found = estimate_shares(other / other.sum(axis=1, keepdims=True), calibrated_to)
    np.testing.assert_allclose(found, estimate_shares(probabilities, EQUAL), atol=1e-3)


def test_weights_count_films_as_often_as_they_say():
    probabilities = answers((0.6, 0.3, 0.1), films=50)
    weights = np.random.default_rng(0).integers(0, 3, (4, 50)).astype(float)
    for row, found in zip(weights, estimate_shares(probabilities, EQUAL, weights), strict=True):
        np.testing.assert_allclose(found, estimate_shares(np.repeat(probabilities, row.astype(int), axis=0), EQUAL), atol=1e-9)


def test_the_interval_holds_the_truth_and_is_wider_for_fewer_patients():
    shares = (0.7, 0.2, 0.1)
    probabilities = answers(shares, films=400)
    low, high = intervals(probabilities, EQUAL, list(map(str, range(400))), 0)
    assert (low < shares).all()
    assert (shares < high).all()
    few_low, few_high = intervals(probabilities[:40], EQUAL, list(map(str, range(40))), 0)
    assert (few_high - few_low).sum() > 2 * (high - low).sum()


def test_the_shares_that_probabilities_are_calibrated_to_come_from_the_evaluation():
    counts = [[8, 1, 1], [0, 5, 0], [1, 0, 4]]
    evaluated = make_manifest(test_metrics={"confusion_matrix": {"counts": counts}})
    np.testing.assert_allclose(training_shares(evaluated), (0.5, 0.25, 0.25))
    np.testing.assert_allclose(training_shares(make_manifest()), EQUAL)
