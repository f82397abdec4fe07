"""Bootstrap intervals: their width, their coverage, and what they leave out."""

import numpy as np
import pytest

from training.evaluation.measures.bootstrap import Bootstrap, centred_interval


def test_bootstrap_of_a_proportion_matches_the_binomial_error():
    correct = np.arange(400) < 320
    groups = [str(i) for i in range(400)]
    values, intervals = Bootstrap(2000, 0).intervals(lambda w: {("share",): w @ correct / w.sum(axis=1)}, groups)
    low, high = intervals["share",]
    standard_error = np.sqrt(0.8 * 0.2 / 400)
    assert values["share",] == 0.8
    assert low == pytest.approx(0.8 - 1.96 * standard_error, abs=0.005)
    assert high == pytest.approx(0.8 + 1.96 * standard_error, abs=0.005)


def test_bootstrap_of_a_mean_over_patients_covers_the_true_mean_as_often_as_it_says():
    # Three films a patient share most of their value: the interval must follow the patients, not the films.
    rng = np.random.default_rng(6)
    groups = [str(i // 3) for i in range(240)]
    covered = {"patients": 0, "films": 0}
    for trial in range(200):
        values = np.repeat(rng.normal(1.0, 0.5, 80), 3) + rng.normal(0, 0.1, 240)
        mean = lambda w, v=values: {("mean",): w @ v / w.sum(axis=1)}  # noqa: E731
        for name, units in (("patients", groups), ("films", [str(i) for i in range(240)])):
            low, high = Bootstrap(200, trial).intervals(mean, units)[1]["mean",]
            covered[name] += low <= 1.0 <= high
    assert 0.90 <= covered["patients"] / 200 <= 0.99
    assert covered["films"] / 200 < 0.85


def test_films_of_one_group_are_drawn_together():
    weights = np.concatenate(list(Bootstrap(250, 1).group_weights(["a", "a", "b", "c", "c", "c"])))
    assert weights.shape == (250, 6)
    np.testing.assert_array_equal(weights[:, 0], weights[:, 1])
    np.testing.assert_array_equal(weights[:, 3], weights[:, 5])
    np.testing.assert_array_equal(weights[:, [0, 2, 3]].sum(axis=1), 3)


def test_centring_keeps_the_estimate_inside_when_resampling_inflates_it():
    low, high = centred_interval(1.0, np.linspace(1.05, 1.45, 1001))
    assert (low, high) == (pytest.approx(0.81), pytest.approx(1.19))
    assert centred_interval(0.01, np.linspace(0.1, 0.5, 101))[0] == 0.0
    assert centred_interval(1.0, np.r_[0.8, 0.9, 0.95, 1.0])[1] == 1.0
    assert np.isnan(centred_interval(0.5, np.full(50, np.nan))).all()
