"""Conformal scores, quantiles and sets: held against closed forms, simulation and the service's own sets."""

import math

import numpy as np
import pytest

from export.calibration import conformal_quantiles as exported_quantiles
from service.model.decision import conformal_set
from service.model.findings import FINDINGS
from service.model.manifest import ConformalSpec
from training.conformal import adaptive_scores, class_quantiles, conformal_quantile, sets_of, threshold_scores

FILM = np.array([[0.2, 0.7, 0.1]])


def draw_films(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities [n, 3] and labels drawn from a harder and harder problem: the third class is the least certain."""
    labels = rng.integers(0, 3, n)
    logits = rng.normal(0, 1, (n, 3)) + np.array([2.5, 1.5, 0.5])[labels, None] * np.eye(3)[labels]
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return probabilities, labels


def coverage_of_many_draws(scores, per_class=False, films=60, trials=400):
    """Mean coverage over trials of calibrating on some films and judging others; overall and by class."""
    rng = np.random.default_rng(11)
    covered, seen = np.zeros(3), np.zeros(3)
    for _ in range(trials):
        (reference, truth), (judged, labels) = draw_films(rng, films), draw_films(rng, films)
        of_truth = scores(reference, rng)[np.arange(films), truth]
        quantiles = class_quantiles(of_truth, truth, 0.9, 3) if per_class else conformal_quantile(of_truth, 0.9)
        hits = sets_of(scores(judged, rng), quantiles)[np.arange(films), labels]
        covered += np.bincount(labels, hits, minlength=3)
        seen += np.bincount(labels, minlength=3)
    return covered.sum() / seen.sum(), covered / seen


@pytest.mark.parametrize(
    "scores",
    [
        lambda p, _: threshold_scores(p),
        lambda p, _: adaptive_scores(p),
        lambda p, rng: adaptive_scores(p, draws=rng.random(len(p))),
        lambda p, rng: adaptive_scores(p, penalty=0.1, draws=rng.random(len(p))),
    ],
    ids=["threshold", "APS", "APS randomised", "RAPS randomised"],
)
def test_sets_hold_the_truth_as_often_as_promised_and_hardly_more(scores):
    # Theory: 0.9 <= coverage <= 0.9 + 1 / 61; the mean of 24,000 dependent films has a standard error of about 0.003.
    overall, _ = coverage_of_many_draws(scores)
    assert 0.9 - 0.008 <= overall <= 0.9 + 1 / 61 + 0.008


def test_only_a_quantile_of_its_own_promises_the_coverage_to_each_class():
    scores = lambda p, _: threshold_scores(p)  # noqa: E731
    assert coverage_of_many_draws(scores)[1].min() < 0.87
    by_class = coverage_of_many_draws(scores, per_class=True)[1]
    assert (by_class > 0.9 - 0.01).all()


def test_threshold_scores_give_the_sets_of_the_service():
    probabilities, _ = draw_films(np.random.default_rng(0), 200)
    quantiles = np.array([0.46, 0.6, 0.52])
    spec = ConformalSpec(coverage=0.9, quantiles=dict(zip(FINDINGS, quantiles.tolist(), strict=True)))
    sets = sets_of(threshold_scores(probabilities), quantiles)
    assert len(set(sets.sum(axis=1))) == 3
    for row, found in zip(probabilities, sets, strict=True):
        expected = conformal_set(dict(zip(FINDINGS, row.tolist(), strict=True)), spec)
        assert {finding for finding, held in zip(FINDINGS, found, strict=True) if held} == set(expected)


def test_the_quantiles_are_those_that_export_puts_into_the_manifest():
    probabilities, labels = draw_films(np.random.default_rng(1), 90)
    scores = threshold_scores(probabilities)[np.arange(90), labels]
    for coverage in (0.8, 0.9, 0.95, 0.995):
        quantiles = class_quantiles(scores, labels, coverage, 3).clip(max=1.0)
        assert list(exported_quantiles(probabilities, labels, coverage).values()) == quantiles.tolist()


def test_the_quantile_is_the_corrected_rank_and_infinite_when_the_films_are_too_few():
    scores = np.arange(1, 10)[::-1] / 10
    assert conformal_quantile(scores, 0.9) == 0.9  # rank (9 + 1) * 0.9 = 9
    assert conformal_quantile(scores, 0.5) == 0.5
    assert conformal_quantile(scores[:8], 0.9) == math.inf
    assert sets_of(threshold_scores(FILM), math.inf).all()
    assert class_quantiles(scores, np.zeros(9, int), 0.9, 2).tolist() == [0.9, math.inf]


def test_adaptive_scores_add_up_from_the_most_probable_finding():
    np.testing.assert_allclose(adaptive_scores(FILM), [[0.9, 0.7, 1.0]])
    np.testing.assert_allclose(adaptive_scores(FILM, draws=np.array([0.5])), [[0.8, 0.35, 0.95]])
    np.testing.assert_allclose(adaptive_scores(FILM, penalty=0.1), [[1.0, 0.7, 1.2]])
    np.testing.assert_allclose(adaptive_scores(FILM, penalty=0.1, free=2), [[0.9, 0.7, 1.1]])


def test_a_set_that_must_not_be_empty_holds_the_most_probable_finding():
    assert not sets_of(adaptive_scores(FILM), 0.5).any()
    assert sets_of(adaptive_scores(FILM), 0.5, never_empty_of=FILM).tolist() == [[False, True, False]]
    np.testing.assert_array_equal(sets_of(threshold_scores(FILM), np.array([0.8, 0.2, 0.9])), [[True, False, True]])
