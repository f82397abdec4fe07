"""Thresholds of a site: what is fitted to them, and what stays the bundle's."""

from dataclasses import replace

import numpy as np
import pytest

from export.calibration import TB_SCREENING
from service.model.findings import Finding
from tests.support.training.site_films import SPEC, calibrated_films, site_films, site_manifest
from training.commissioning.fitting.decisions import answers_of
from training.commissioning.fitting.thresholds import ERRORS_FLAGGED, MOST_FLAGGED, fit_outlier_threshold, fit_thresholds


def probabilities(right: np.ndarray, confidence: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The confidence on the true class where the answer is right, else on the next one."""
    called = np.where(right, labels, (labels + 1) % 3)
    answers = np.repeat(((1 - confidence) / 2)[:, None], 3, axis=1)
    answers[np.arange(len(labels)), called] = confidence
    return answers


def test_prediction_sets_hold_the_truth_as_often_as_promised_for_each_class():
    films = site_films((100, 100, 100))
    confidence = np.random.default_rng(1).uniform(0.5, 0.99, 300)
    answers = probabilities(np.random.default_rng(0).random(300) < confidence, confidence, films.labels)
    fitted = fit_thresholds(answers, films, site_manifest())
    covered = answers_of(answers, films, fitted).sets[np.arange(300), films.labels]
    for index in range(3):
        assert 0.90 <= covered[films.labels == index].mean() <= 0.93


def test_a_class_without_films_keeps_its_quantile_and_screening_its_threshold():
    films, manifest = site_films((30, 30, 0)), site_manifest()
    fitted = fit_thresholds(probabilities(np.ones(60, bool), np.full(60, 0.9), films.labels), films, manifest)
    assert fitted.conformal.quantiles[Finding.TUBERCULOSIS] == manifest.conformal.quantiles[Finding.TUBERCULOSIS]
    assert fitted.conformal.quantiles[Finding.NORMAL] == pytest.approx(0.1)
    assert fitted.operating_points == manifest.operating_points


def test_screening_finds_nine_of_ten_of_the_sites_tuberculosis():
    films = site_films((50, 0, 50))
    confidence = np.random.default_rng(0).uniform(0.35, 0.99, 100)
    answers = probabilities(np.random.default_rng(1).random(100) < confidence, confidence, films.labels)
    point = fit_thresholds(answers, films, site_manifest()).operating_points[TB_SCREENING]
    called = answers[films.labels == 2, 2] >= point.thresholds[Finding.TUBERCULOSIS]
    assert 0.9 <= called.mean() <= 0.94


def test_review_flags_catch_most_errors_where_few_films_need_be_flagged():
    films = site_films((100, 100, 100))
    right = np.random.default_rng(0).random(300) < 0.9
    confidence = np.where(right, 0.95, 0.6) + np.random.default_rng(1).uniform(-0.04, 0.04, 300)
    answers = probabilities(right, confidence, films.labels)
    flagged = answers_of(answers, films, fit_thresholds(answers, films, site_manifest())).flagged
    assert flagged[~right].mean() >= ERRORS_FLAGGED
    assert flagged.mean() < 0.15


def test_review_flags_no_more_films_than_the_limit_for_errors_that_confidence_does_not_show():
    films = site_films((100, 100, 100))
    manifest = site_manifest()
    wide = manifest.conformal.model_copy(update={"coverage": 0.5})  # sets of one finding, so that they flag few films
    right = np.random.default_rng(0).random(300) < 0.8
    confidence = np.random.default_rng(1).uniform(0.6, 0.99, 300)
    answers = probabilities(right, confidence, films.labels)
    fitted = fit_thresholds(answers, films, manifest.model_copy(update={"conformal": wide}))
    assert 0.3 < answers_of(answers, films, fitted).flagged.mean() <= MOST_FLAGGED


def test_where_the_picture_alone_flags_enough_low_confidence_flags_no_more():
    manifest = site_manifest()
    films = replace(site_films((100, 100, 100)), unusual_images=np.arange(300) % 2 == 0)
    right = np.random.default_rng(0).random(300) < 0.8
    answers = probabilities(right, np.random.default_rng(1).uniform(0.6, 0.99, 300), films.labels)
    assert fit_thresholds(answers, films, manifest).review.low_confidence_below == 0


def test_without_errors_a_tenth_of_the_films_is_flagged():
    films = site_films((50, 50, 50))
    answers = probabilities(np.ones(150, bool), np.linspace(0.7, 0.99, 150), films.labels)
    fitted = fit_thresholds(answers, films, site_manifest())
    assert (answers.max(axis=1) < fitted.review.low_confidence_below).mean() == pytest.approx(0.1, abs=0.01)


def test_the_outlier_threshold_rises_where_the_site_is_flagged_too_often():
    scores = np.random.default_rng(0).uniform(0.5, 2.5, 200)  # a quarter is above the bundle's threshold of 2
    own = fit_outlier_threshold(scores, SPEC)
    assert own.threshold > SPEC.threshold
    assert (scores > own.threshold).mean() <= SPEC.flagged_share
    assert (own.films, own.image_bounds) == (200, SPEC.image_bounds)


def test_the_outlier_threshold_stays_where_it_flags_as_few_as_it_should():
    assert fit_outlier_threshold(np.r_[np.full(99, 1.0), 2.5], SPEC) == SPEC


def test_the_outlier_threshold_stays_within_twice_the_bundles():
    assert fit_outlier_threshold(np.r_[np.full(50, 1.0), np.full(20, 30.0)], SPEC).threshold == 2 * SPEC.threshold


def test_a_picture_that_is_flagged_itself_is_flagged_whatever_the_answer():
    films = calibrated_films(60)
    sure = probabilities(np.ones(60, bool), np.full(60, 0.99), films.labels)
    unusual = np.arange(60) < 5
    answers = answers_of(sure, replace(films, unusual_images=unusual), site_manifest())
    np.testing.assert_array_equal(answers.flagged, unusual)
