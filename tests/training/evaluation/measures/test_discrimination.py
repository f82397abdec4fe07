"""Areas under curves, against scikit-learn and by hand."""

import numpy as np
from sklearn import metrics as sk

from training.evaluation.measures.discrimination import auc, pair_auc, within_source_auc


def test_auc_counts_ties_half_and_equals_scikit_learn_with_weights():
    rng = np.random.default_rng(1)
    positive = rng.random(300) < 0.4
    scores = np.round(rng.random(300) + 0.3 * positive, 1)
    weights = rng.integers(0, 4, (5, 300)).astype(float)
    expected = [sk.roc_auc_score(positive, scores, sample_weight=row) for row in weights]
    np.testing.assert_allclose(auc(positive, scores, weights), expected)
    assert auc(np.array([True, False]), np.array([0.5, 0.5])) == 0.5
    assert auc(np.array([True, True, False]), np.array([0.9, 0.2, 0.2])) == 0.75
    assert np.isnan(auc(np.array([True, True]), np.array([0.1, 0.2])))


def test_pair_auc_ignores_the_third_class_in_films_and_in_scores():
    labels = np.array([0, 0, 2, 2, 1])
    probabilities = np.array([[0.08, 0.9, 0.02], [0.6, 0.1, 0.3], [0.02, 0.9, 0.08], [0.3, 0.1, 0.6], [0.0, 0.0, 1.0]])
    assert pair_auc(labels, probabilities, positive=2, negative=0) == 1.0
    assert auc(labels[:4] == 2, probabilities[:4, 2]) == 0.75


def test_pairs_are_the_classes_that_a_source_holds():
    labels, sources = np.array([0, 2, 1, 1, 2]), ["a", "a", "b", "b", "c"]
    probabilities = np.array([[0.8, 0.1, 0.1], [0.1, 0.1, 0.8], [1, 0, 0], [1, 0, 0], [1, 0, 0.0]])
    areas = within_source_auc(labels, probabilities, sources, np.ones((1, 5)))
    assert {key: area.tolist() for key, area in areas.items()} == {("a", "Tuberculosis vs Normal"): [1.0]}
