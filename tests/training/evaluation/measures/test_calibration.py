"""Calibration errors of constructed cases and against scikit-learn."""

import numpy as np
import pytest
from sklearn import metrics as sk

from tests.support.training.random_judgements import random_judgements
from training.evaluation.measures.calibration import (
    brier_score,
    expected_calibration_error,
    log_loss,
    one_vs_rest_ece,
    reliability_bins,
    top_label_ece,
)


def test_ece_of_a_constructed_case():
    # Bin of 0.9: claims 0.9, is right 6 of 10 (gap 0.3); bin of 0.25: claims 0.25, happens 3 of 5 (gap 0.35).
    confidence = np.r_[np.full(10, 0.9), np.full(5, 0.25)]
    events = np.r_[np.arange(10) < 6, np.arange(5) < 3]
    assert expected_calibration_error(events, confidence) == pytest.approx((10 * 0.3 + 5 * 0.35) / 15)
    bins = reliability_bins(events, confidence)
    assert bins.count.sum() == 15
    assert bins.observed[13] == pytest.approx(0.6)
    assert bins.mean_confidence[3] == pytest.approx(0.25)
    assert np.isnan(bins.observed[0])


def test_ece_is_zero_when_claims_come_true_and_one_when_they_never_do():
    certain = np.ones(4)
    assert expected_calibration_error(np.ones(4, bool), certain) == 0.0
    assert expected_calibration_error(np.zeros(4, bool), certain) == 1.0


def test_gaps_of_opposite_sign_in_one_bin_cancel_but_in_two_bins_add():
    assert expected_calibration_error(np.array([True, False]), np.array([0.5, 0.5])) == 0.0
    assert expected_calibration_error(np.array([True, False]), np.array([0.4, 0.6])) == pytest.approx(0.6)


def test_bins_are_as_many_as_stated():
    confidence = np.array([0.9, 0.05, 0.2, 0.15, 0.7, 0.3])
    events = np.array([True, True, False, False, True, False])
    # Four films in the first bin, none in the second, two in the third.
    assert expected_calibration_error(events, confidence, bins=3) == pytest.approx((4 * abs(0.175 - 0.25) + 2 * 0.2) / 6)


def test_weights_act_as_repeated_films_in_calibration_too():
    judged = random_judgements(90)
    repeats = np.random.default_rng(0).integers(0, 3, 90)
    labels, probabilities = np.repeat(judged.labels, repeats), np.repeat(judged.probabilities, repeats, axis=0)
    weighted = one_vs_rest_ece(judged.labels, judged.probabilities, repeats[None].astype(float))
    np.testing.assert_allclose(weighted[0], one_vs_rest_ece(labels, probabilities))


def test_brier_and_log_loss_equal_scikit_learn_and_closed_forms():
    judged = random_judgements()
    assert log_loss(judged.labels, judged.probabilities) == pytest.approx(sk.log_loss(judged.labels, judged.probabilities))
    parts = [sk.brier_score_loss(judged.labels == c, judged.probabilities[:, c]) for c in range(3)]
    assert brier_score(judged.labels, judged.probabilities) == pytest.approx(sum(parts))
    uniform = np.full((6, 3), 1 / 3)
    assert log_loss(np.arange(6) % 3, uniform) == pytest.approx(np.log(3))
    assert brier_score(np.arange(6) % 3, uniform) == pytest.approx(2 / 3)
    assert top_label_ece(np.zeros(6, int), np.tile([0.8, 0.1, 0.1], (6, 1))) == pytest.approx(0.2)
