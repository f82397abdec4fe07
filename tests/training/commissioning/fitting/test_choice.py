"""What is written: nothing from random labels, and only what is better beyond chance."""

import numpy as np
import pytest
from scipy.special import softmax

from service.model.findings import Finding
from service.model.manifest import ModelManifest
from tests.support.training.site_films import TEMPERATURE, calibrated_films, site_films, site_manifest
from training.commissioning.cases import SiteFilms
from training.commissioning.fitting.choice import HEAD, Choice, choose
from training.commissioning.fitting.nested import CONFORMAL, OPERATING_POINTS, REVIEW, Classifier, nested_cross_validation


def chosen(films: SiteFilms, seed: int = 0, manifest: ModelManifest | None = None) -> Choice:
    manifest = manifest or site_manifest()
    return choose(films, nested_cross_validation(films, manifest, seed), manifest, seed)


# Fifty seeds in all, ten of them in the default suite.
@pytest.mark.slow
@pytest.mark.parametrize("block", [0, *(pytest.param(block, marks=pytest.mark.long) for block in range(1, 5))])
def test_random_labels_write_nothing(block: int):
    for seed in range(10 * block, 10 * block + 10):
        films = site_films((20, 20, 20) if seed % 2 else (20, 0, 20), features=4, seed=seed)
        found = chosen(films, seed)
        assert not found.tells_classes_apart
        assert not [name for name, part in found.parts.items() if part.written]
        assert found.classifier is Classifier.RELEASED


@pytest.mark.long
def test_random_labels_write_nothing_with_embeddings_of_the_real_size():
    found = chosen(site_films((60, 60, 60), features=1280))
    assert not [name for name, part in found.parts.items() if part.written]


def test_labels_of_a_site_that_the_model_knows_write_nothing_in_random_order():
    films = site_films((40, 0, 40), released=2.0)
    labels = np.random.default_rng(3).permutation(films.labels)
    found = chosen(SiteFilms(labels, films.logits, films.embeddings, films.patients, films.images, films.outlier_scores))
    assert not found.tells_classes_apart


def test_a_planted_signal_gives_a_head_and_thresholds_for_it():
    found = chosen(site_films((30, 0, 30), planted=3.0))
    assert found.classifier is Classifier.HEAD
    assert all(found.parts[name].written for name in (HEAD, OPERATING_POINTS, CONFORMAL, REVIEW))


def test_probabilities_that_are_too_sure_give_scale_and_offsets():
    films = calibrated_films(300)
    unsure = SiteFilms(films.labels, 4 * films.logits, films.embeddings, films.patients, films.images, films.outlier_scores)
    found = chosen(unsure)
    assert found.classifier is Classifier.OFFSETS
    assert "Scale and offsets alone improve the released head's probabilities" in found.parts[HEAD].reason


@pytest.mark.parametrize("seed", range(2))
def test_a_head_that_is_already_right_stays(seed: int):
    found = chosen(calibrated_films(120, seed), seed)
    assert found.tells_classes_apart
    assert not found.parts[HEAD].written
    assert found.classifier is Classifier.RELEASED


def test_sets_that_hold_the_truth_too_seldom_are_written_beside_a_right_head():
    films, manifest = calibrated_films(150), site_manifest()
    nested = nested_cross_validation(films, manifest, 0)
    found = choose(films, nested, manifest, 0)
    assert found.parts[CONFORMAL].written
    assert "90% is promised" in found.parts[CONFORMAL].reason
    right = nested.answers(found.classifier, (CONFORMAL, REVIEW)).sets[np.arange(150), films.labels]
    assert 0.85 <= right.mean() <= 0.95


def test_released_sets_that_keep_their_promise_stay():
    manifest = site_manifest()
    kept = manifest.conformal.model_copy(update={"quantiles": dict.fromkeys(manifest.conformal.quantiles, 0.93)})
    found = chosen(calibrated_films(120), manifest=manifest.model_copy(update={"conformal": kept}))
    assert not found.parts[CONFORMAL].written
    assert "not less than the 90% promised" in found.parts[CONFORMAL].reason


def test_screening_is_judged_by_its_sensitivity_where_the_released_head_stays():
    films = calibrated_films(150)
    assert not chosen(films).parts[OPERATING_POINTS].written
    for found, written in ((0.5, True), (0.86, False)):  # of fifty films, the latter may be 90 % but for chance
        part = chosen(films, manifest=screening_manifest(films, found)).parts[OPERATING_POINTS]
        assert part.written is written
        assert "At tb_screening the released model finds " in part.reason


def screening_manifest(films: SiteFilms, found: float) -> ModelManifest:
    """The manifest with the threshold at which tb_screening finds this share of the films of tuberculosis."""
    manifest = site_manifest()
    ascending = np.sort(softmax(films.logits / TEMPERATURE, axis=1)[films.labels == 2, 2])
    threshold = float(ascending[len(ascending) - round(found * len(ascending))])
    point = manifest.operating_points["tb_screening"].model_copy(update={"thresholds": {Finding.TUBERCULOSIS: threshold}})
    return manifest.model_copy(update={"operating_points": {**manifest.operating_points, "tb_screening": point}})
