import numpy as np
import pytest
from scipy.special import softmax

from export.calibration import (
    TEMPERATURE_BOUNDS,
    calibrate,
    conformal_quantile,
    conformal_quantiles,
    fit_temperature,
    found_no_minimum,
    negative_log_likelihood,
    review_threshold,
    screening_threshold,
)
from service.model.findings import FINDINGS, Finding
from training.errors import ExportError


def drawn_labels(logits: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Labels that follow softmax(logits) exactly: logits of a perfectly calibrated network."""
    return (softmax(logits, axis=1).cumsum(axis=1) < rng.random((len(logits), 1))).sum(axis=1)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_a_known_temperature_is_recovered(temperature):
    rng = np.random.default_rng(1)
    calibrated = rng.normal(0, 2, (20_000, 3))
    labels = drawn_labels(calibrated, rng)
    logits = calibrated * temperature
    assert fit_temperature(logits, labels) == pytest.approx(temperature, rel=0.03)
    assert not found_no_minimum(temperature)


def test_no_other_temperature_is_better():
    rng = np.random.default_rng(2)
    logits = rng.normal(0, 3, (200, 3))
    labels = drawn_labels(logits / 1.7, rng)
    fitted = fit_temperature(logits, labels)
    best = negative_log_likelihood(logits, labels, fitted)
    assert all(negative_log_likelihood(logits, labels, fitted * factor) > best for factor in (0.8, 0.95, 1.05, 1.25))


def test_a_network_that_is_never_wrong_gets_the_bound_and_is_told_of():
    labels = np.arange(30) % 3
    temperature = fit_temperature(np.eye(3)[labels] * 4, labels)
    assert temperature == pytest.approx(TEMPERATURE_BOUNDS[0], rel=1e-3)
    assert found_no_minimum(temperature)


@pytest.mark.parametrize("positives", [1, 9, 10, 11, 141])
def test_the_screening_threshold_is_the_highest_that_reaches_the_sensitivity(positives):
    rng = np.random.default_rng(positives)
    scores = np.concatenate([rng.beta(4, 2, positives), rng.beta(2, 4, 300)]).astype(np.float32)
    positive = np.arange(len(scores)) < positives
    threshold = screening_threshold(scores, positive, 0.9)
    assert (scores[positive] >= threshold).mean() >= 0.9
    # The next film up is more than the rounding step away, and a threshold there would lose a film too many.
    assert (scores[positive] >= threshold + 2e-4).mean() < 0.9


def test_the_screening_threshold_of_a_network_that_is_sure_and_right_stays_below_one():
    labels = np.arange(30) % 3
    assert calibrate(np.eye(3)[labels] * 4, labels).tb_threshold == 0.9999


def test_no_screening_threshold_when_the_diseased_films_score_nothing():
    with pytest.raises(ExportError, match="no threshold has a sensitivity of 90%"):
        screening_threshold(np.full(20, 1e-6), np.ones(20, bool), 0.9)


def test_conformal_sets_cover_new_films_as_promised():
    """Mean over 600 calibrations on 20 films of each finding: 19 / 21 with the finite-sample correction, 18 / 21 without."""
    rng = np.random.default_rng(3)
    covered = []
    for _ in range(600):
        logits = rng.normal([0.8, 0.0, 0.0], 1.5, (300, 3))  # one finding is more frequent, and easier
        labels = drawn_labels(logits, rng)
        probabilities = softmax(logits * 1.6, axis=1)  # overconfident: coverage must not need calibrated probabilities
        reference = np.concatenate([np.flatnonzero(labels == index)[:20] for index in range(3)])
        quantiles = conformal_quantiles(probabilities[reference], labels[reference], 0.9)
        new = np.setdiff1d(np.arange(300), reference)
        sets = 1 - probabilities <= np.array(list(quantiles.values()))
        covered.append([sets[new[labels[new] == index], index].mean() for index in range(3)])
    assert np.mean(covered, axis=0) == pytest.approx(np.full(3, 19 / 21), abs=0.01)


def test_the_conformal_quantile_is_the_score_of_the_corrected_rank():
    scores = np.arange(1, 10)[::-1] / 10
    assert conformal_quantile(scores, 0.9) == 0.9  # rank (9 + 1) * 0.9 = 9
    assert conformal_quantile(scores, 0.5) == 0.5


def test_too_few_films_for_a_conformal_quantile_give_sets_of_everything():
    probabilities = np.full((8, 3), 1 / 3)
    assert conformal_quantiles(probabilities, np.zeros(8, np.int64), 0.9) == dict.fromkeys(FINDINGS, 1.0)


def test_a_tenth_of_the_films_lies_below_the_review_threshold():
    probabilities = softmax(np.random.default_rng(4).normal(0, 2, (1000, 3)), axis=1)
    assert (probabilities.max(axis=1) < review_threshold(probabilities, 0.1)).mean() == pytest.approx(0.1, abs=0.002)


def test_calibration_lowers_the_likelihood_loss_and_screens_on_calibrated_probabilities():
    rng = np.random.default_rng(5)
    logits = rng.normal(0, 2, (500, 3))
    labels = drawn_labels(logits / 2, rng)
    fitted = calibrate(logits.astype(np.float32), labels)
    probabilities = softmax(logits / fitted.temperature, axis=1)
    tuberculosis = FINDINGS.index(Finding.TUBERCULOSIS)
    assert fitted.nll_after < fitted.nll_before
    assert (probabilities[labels == tuberculosis, tuberculosis] >= fitted.tb_threshold).mean() >= 0.9
    assert fitted.films == 500


def test_logits_that_are_not_finite_are_refused():
    logits = np.zeros((6, 3), np.float32)
    logits[2, 1] = np.nan
    with pytest.raises(ExportError, match="not finite"):
        calibrate(logits, np.arange(6) % 3)
