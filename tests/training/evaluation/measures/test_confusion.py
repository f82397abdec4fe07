"""Metrics based on counts, against scikit-learn."""

import numpy as np
import pytest
from sklearn import metrics as sk

from tests.support.training.random_judgements import random_judgements
from training.evaluation.measures.confusion import ConfusionMatrix


def test_count_based_metrics_equal_scikit_learn():
    judged = random_judgements()
    matrix = judged.confusion
    precision, recall, f1, support = sk.precision_recall_fscore_support(judged.labels, judged.predicted)
    np.testing.assert_array_equal(matrix.counts, sk.confusion_matrix(judged.labels, judged.predicted))
    np.testing.assert_allclose(matrix.precision, precision)
    np.testing.assert_allclose(matrix.recall, recall)
    np.testing.assert_allclose(matrix.f1, f1)
    np.testing.assert_array_equal(matrix.support, support)
    np.testing.assert_allclose(matrix.accuracy, sk.accuracy_score(judged.labels, judged.predicted))
    for average in ("macro", "weighted"):
        mean = getattr(matrix, average)
        expected = sk.precision_recall_fscore_support(judged.labels, judged.predicted, average=average)[:3]
        np.testing.assert_allclose([mean(matrix.precision), mean(matrix.recall), mean(matrix.f1)], expected)
    for index in range(3):
        as_other = sk.recall_score(judged.labels != index, judged.predicted != index)
        np.testing.assert_allclose(matrix.specificity[index], as_other)


def test_weights_act_as_repeated_films():
    judged = random_judgements(60)
    repeats = np.random.default_rng(0).integers(0, 3, 60)
    weighted = ConfusionMatrix.of(judged.labels, judged.predicted, 3, repeats[None].astype(float))
    repeated = ConfusionMatrix.of(np.repeat(judged.labels, repeats), np.repeat(judged.predicted, repeats), 3)
    np.testing.assert_array_equal(weighted.counts[0], repeated.counts)


def test_precision_of_a_present_class_never_called_is_zero_and_absent_class_is_undefined():
    matrix = ConfusionMatrix.of(np.array([0, 1, 1]), np.array([0, 0, 0]), 3)
    np.testing.assert_array_equal(matrix.precision, [1 / 3, 0.0, np.nan])
    np.testing.assert_array_equal(matrix.recall, [1.0, 0.0, np.nan])
    assert matrix.macro(matrix.recall) == 0.5
    stray = ConfusionMatrix.of(np.repeat([0, 1], 50), np.r_[np.repeat([0, 1], 50)[:-1], 2], 3)
    assert stray.macro(stray.f1) == pytest.approx((1 + 98 / 99) / 2), "a class without films is no part of the question"
    alone = ConfusionMatrix.of(np.zeros(3, int), np.zeros(3, int), 3)
    assert np.isnan(alone.weighted(alone.specificity)), "undefined is not zero"
