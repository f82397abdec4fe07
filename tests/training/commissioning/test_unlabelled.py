"""Unlabelled films: shares, outliers, and plain words that nothing was verified."""

import numpy as np
import pytest

from tests.support.training.site_films import calibrated_films, site_manifest
from training.commissioning.unlabelled import NOTHING_VERIFIED, commission_unlabelled
from training.errors import CommissioningError


def test_shares_and_rates_are_told_and_nothing_is_called_verified():
    films = calibrated_films(300)
    found = commission_unlabelled(films.logits, films.outlier_scores, site_manifest(), films.patients)
    truth = np.bincount(films.labels, minlength=3) / 300
    for share, (low, high), true in zip(found.shares.values(), found.shares_95.values(), truth, strict=True):
        assert low <= share <= high
        assert share == pytest.approx(true, abs=0.1)
    assert sum(found.shares.values()) == pytest.approx(1)
    assert sum(found.called.values()) == pytest.approx(1)
    assert found.unlike_training == 0
    assert found.outliers is None
    assert found.warnings == (NOTHING_VERIFIED,)
    assert found.verdict.startswith("Only films without a label were given: nothing was verified")


def test_a_site_of_other_films_gets_a_threshold_of_its_own():
    films = calibrated_films(200)
    scores = np.where(np.arange(200) % 5 == 0, 3.0, 1.0)
    found = commission_unlabelled(films.logits, scores, site_manifest(), films.patients)
    assert found.unlike_training == pytest.approx(0.2)
    assert found.outliers is not None
    assert 3.0 <= found.outliers.threshold <= 4.0


def test_pictures_that_are_flagged_themselves_count_for_review():
    films = calibrated_films(100)
    unusual = np.arange(100) < 100
    found = commission_unlabelled(films.logits, films.outlier_scores, site_manifest(), films.patients, unusual)
    assert found.review_rate == 1


def test_without_films_there_is_nothing_to_commission_with():
    with pytest.raises(CommissioningError, match="no films"):
        commission_unlabelled(np.zeros((0, 3)), np.zeros(0), site_manifest(), ())
