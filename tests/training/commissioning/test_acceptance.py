"""Acceptance with labelled films: figures, verdict, warnings, and what goes into the profile."""

from dataclasses import replace

import numpy as np
import pytest

from service.model.findings import Finding
from tests.support.training.site_films import calibrated_films, site_films, site_manifest
from training.commissioning.acceptance import commission_labelled
from training.commissioning.cases import Acceptance
from training.commissioning.fitting.folds import patient_folds
from training.errors import TooFewFilms


@pytest.fixture(scope="module")
def planted() -> Acceptance:
    """Normal and tuberculosis, which the released model does not know and the embedding tells."""
    return commission_labelled(site_films((30, 0, 30), planted=3.0), site_manifest())


@pytest.fixture(scope="module")
def at_random() -> Acceptance:
    return commission_labelled(site_films((20, 0, 20)), site_manifest())


def test_a_planted_signal_writes_a_head_that_is_better_on_films_left_out(planted: Acceptance):
    assert planted.writes_profile
    assert planted.head is not None
    assert planted.before["macro_auc"] < 0.7
    assert planted.after["macro_auc"] > 0.9
    assert planted.difference["accuracy"] == pytest.approx(planted.after["accuracy"] - planted.before["accuracy"], abs=1e-6)
    low, high = planted.after["interval_95"]["accuracy"]
    assert low <= planted.after["accuracy"] <= high


def test_films_that_rank_well_but_are_too_few_ask_for_more_and_not_for_other_labels(at_random: Acceptance):
    assert "Check the labels" in at_random.verdict
    ranked = commission_labelled(site_films((20, 0, 20), released=0.7, seed=1), site_manifest())
    assert not ranked.tells_classes_apart and not ranked.writes_profile
    assert ranked.before["interval_95"]["macro_auc"][0] > 0.5
    assert "too few to show" in ranked.verdict and "Check the labels" not in ranked.verdict


@pytest.mark.parametrize(("released", "warns"), [(0.3, True), (0.9, False)])
def test_a_screening_that_finds_too_little_tuberculosis_is_a_warning(released: float, *, warns: bool):
    found = commission_labelled(site_films((60, 0, 60), released=released, seed=1), site_manifest())
    warning = f"tb_screening finds {found.after['tb_screening']['sensitivity']:.0%} of the site's tuberculosis, 90% is meant."
    assert (warning in found.warnings) is warns


def test_flags_on_more_than_half_of_the_films_are_a_warning(planted: Acceptance):
    films = site_films((20, 0, 20), planted=3.0)
    found = commission_labelled(replace(films, unusual_images=np.ones(len(films), dtype=bool)), site_manifest())
    assert "100% of the site's films are flagged for review." in found.warnings
    assert not any("flagged for review" in warning for warning in planted.warnings)


def test_the_figures_after_are_those_of_the_answers_out_of_fold(planted: Acceptance):
    labels = site_films((30, 0, 30), planted=3.0).labels
    accuracy = (planted.probabilities_after.argmax(axis=1) == labels).mean()
    assert planted.after["accuracy"] == pytest.approx(accuracy, abs=1e-6)
    fitted = planted.head.probabilities(
        site_films((30, 0, 30), planted=3.0).logits.astype(np.float32), site_films((30, 0, 30), planted=3.0).embeddings
    )
    assert np.abs(fitted - planted.probabilities_after).max() > 0.01  # not those of the head that has seen the films


def test_prediction_sets_of_the_site_hold_the_truth_as_promised(planted: Acceptance):
    assert 0.85 <= planted.after["coverage"] <= 0.97
    assert planted.conformal is not None
    assert planted.conformal.coverage == 0.9


def test_sensitivity_and_specificity_are_given_for_the_classes_with_films(planted: Acceptance):
    assert set(planted.after["per_class"]) == {"Normal", "Tuberculosis"}
    assert set(planted.films_needed) == {Finding.NORMAL, Finding.TUBERCULOSIS}
    assert all(films > 50 for films in planted.films_needed.values())


def test_a_finding_without_films_is_warned_of(planted: Acceptance):
    assert planted.warnings[0] == (
        "No film of Pneumonia was given: nothing was verified for it. "
        "With a head of the site's own it may be called less often than before."
    )
    assert "Nothing was verified for Pneumonia." in planted.verdict
    assert planted.films[Finding.PNEUMONIA] == 0


def test_scale_and_offsets_also_move_answers_away_from_a_finding_without_films():
    films = calibrated_films(300)
    given = films.only(np.flatnonzero(films.labels != 1))
    found = commission_labelled(replace(given, logits=4 * given.logits), site_manifest())
    assert "Scale and offsets alone improve" in found.parts["head"].reason and found.parts["head"].written
    assert found.warnings[0] == (
        "No film of Pneumonia was given: nothing was verified for it. "
        "With scale and offsets of the site's own it may be called less often than before."
    )


def test_random_labels_write_nothing_and_ask_for_the_labels(at_random: Acceptance):
    assert not at_random.writes_profile
    parts = (at_random.head, at_random.operating_points, at_random.conformal, at_random.review, at_random.outliers)
    assert not any(parts)
    assert "Check the labels" in at_random.verdict
    assert at_random.after == at_random.before
    np.testing.assert_array_equal(at_random.probabilities_after, at_random.probabilities_before)


def test_a_shortcut_is_warned_of_with_both_areas():
    films = site_films((30, 0, 30), planted=3.0)
    images = films.images.copy()
    images[films.labels == 2, :4] = 0
    found = commission_labelled(replace(films, images=images), site_manifest())
    assert found.shortcuts.warning in found.warnings
    assert f"{found.shortcuts.macro_auc:.3f}" in found.shortcuts.warning
    assert f"{found.shortcuts.refitted_macro_auc:.3f}" in found.shortcuts.warning


def test_outliers_of_a_site_raise_the_threshold_and_the_released_share_is_told():
    films = calibrated_films(120)
    scores = np.where(np.arange(120) % 4 == 0, 2.5, 1.0)
    found = commission_labelled(replace(films, outlier_scores=scores), site_manifest())
    assert found.unlike_training["share"] == pytest.approx(0.25)
    assert found.outliers is not None
    assert found.outliers.threshold >= 2.5
    assert found.parts["outliers"].written


def test_where_nothing_is_written_the_figures_after_are_those_before():
    films, manifest = calibrated_films(120), site_manifest()
    [fold, *_] = patient_folds(films.labels, films.patients, 0)
    scores = np.ones(120)
    # Too few beyond the threshold for one of the site's own, but not where the fold with four of them, sure ones, is left out.
    scores[np.setdiff1d(np.arange(120), fold)[:37]] = np.linspace(2.5, 3.9, 37)
    scores[fold[np.argsort(np.ptp(films.logits[fold], axis=1))[-4:]]] = 2.1
    changed = {
        "outliers": manifest.outliers.model_copy(update={"flagged_share": 0.25}),
        "conformal": manifest.conformal.model_copy(update={"quantiles": dict.fromkeys(manifest.conformal.quantiles, 0.93)}),
    }
    found = commission_labelled(replace(films, outlier_scores=scores), manifest.model_copy(update=changed))
    assert found.tells_classes_apart and not found.writes_profile
    assert found.after == found.before
    assert found.difference["review_rate"] == 0


def test_parts_that_are_not_written_are_the_bundles(planted: Acceptance):
    assert not planted.parts["outliers"].written
    assert planted.outliers is None
    for name, part in planted.parts.items():
        assert part.reason.endswith(".")
        assert (getattr(planted, name) is not None) == part.written


def test_too_few_films_are_refused_before_anything_is_fitted():
    with pytest.raises(TooFewFilms, match="Tuberculosis has 19 films"):
        commission_labelled(site_films((20, 0, 19)), site_manifest())


def test_the_same_seed_gives_the_same_acceptance(at_random: Acceptance):
    again = commission_labelled(site_films((20, 0, 20)), site_manifest())
    assert again.before == at_random.before
    assert again.verdict == at_random.verdict
