"""The profile of made-up results, and the drift reference of a site's own films."""

from dataclasses import replace

import numpy as np
import pytest

from service.model.drift_reference import DriftReference
from service.model.findings import FINDINGS, Finding
from service.model.predictor import Predictor
from service.model.site_profile import Site
from tests.support.training.acceptances import acceptance, unlabelled
from tests.support.training.site_folders import add_film, class_folders
from training.commissioning import profile as module
from training.commissioning.films.cases import labelled_cases
from training.commissioning.films.folder import find_films
from training.commissioning.films.read import ReadFilms, read_films
from training.commissioning.profile import site_drift, write_site_profile
from training.commissioning.report.outcome import Outcome


@pytest.fixture(scope="module")
def films(bundle, tmp_path_factory):
    """Seven labelled films of each class, and 21 without a label."""
    folder = class_folders(tmp_path_factory.mktemp("site"), 7)
    for index in range(21):
        add_film(folder, f"new/{index}.png", FINDINGS[index % 3], 81_000 + index)
    return read_films(bundle, Predictor.from_bundle(bundle), find_films(folder), threads=2)


@pytest.fixture(scope="module")
def labelled(films):
    return ReadFilms(tuple(each for each in films.used if each.film.finding), ())


@pytest.fixture(scope="module")
def found(labelled, bundle):
    return acceptance(labelled_cases(labelled.used, bundle.manifest))


def write(bundle, films, found, others, out):
    drift = site_drift(bundle, films, found)
    outcome = Outcome(
        "cxr commission",
        "2026-11-28T12:00:00+00:00",
        Site("mercy", 1),
        bundle.manifest,
        films,
        {},
        found,
        others,
        drift.verdict,
    )
    return write_site_profile(out, bundle, outcome, drift)


def test_a_labelled_film_counts_with_the_answer_of_cross_validation(bundle, labelled, found):
    drift = site_drift(bundle, labelled, found)
    surest = drift.reference.numeric["confidence"].maximum
    assert surest == pytest.approx(found.probabilities_after.max(), abs=1e-6)


def test_the_shares_of_the_classes_are_measured_on_films_without_a_label_alone(bundle, films, labelled, found):
    released = DriftReference.model_validate_json(bundle.file("drift_reference.json").read_bytes()).predicted_class
    for given in (labelled, films):
        drift = site_drift(bundle, given, found)
        assert drift.reference.predicted_class == released
        assert "shares of the classes are the bundle's" in drift.verdict.reason
    others = tuple(each for each in films.used if not each.film.finding)
    drift = site_drift(bundle, ReadFilms(others, ()), None)
    called = np.bincount([each.probabilities.argmax() for each in others], minlength=3)
    called = np.maximum(called, 0.5)  # as many count for a class without films
    assert list(drift.reference.predicted_class.values()) == pytest.approx(called / called.sum())
    assert "bundle's" not in drift.verdict.reason


def test_films_without_a_label_count_with_the_answer_of_the_profile(bundle, films, found):
    with_head, without = (site_drift(bundle, films, each).reference for each in (found, replace(found, head=None)))
    assert with_head.numeric["confidence"] != without.numeric["confidence"]
    assert with_head.numeric["mean"] == without.numeric["mean"]
    assert set(with_head.films().values()) == {42}


def test_many_films_without_a_label_stand_for_the_site_alone(bundle, films, found, monkeypatch):
    monkeypatch.setattr(module, "_MANY_FILMS", 21)
    drift = site_drift(bundle, films, found)
    assert set(drift.reference.films().values()) == {21}
    assert "21 films without a label" in drift.verdict.reason


def test_few_films_have_no_reference(bundle, films):
    few = ReadFilms(films.used[:19], ())
    drift = site_drift(bundle, few, None)
    assert drift.reference is None and not drift.verdict.written
    assert drift.verdict.reason == "There are 19 films; it takes at least 20."


def test_films_whose_labels_are_in_doubt_have_no_reference(bundle, films, found):
    drift = site_drift(bundle, films, replace(found, tells_classes_apart=False))
    assert drift.reference is None and not drift.verdict.written


def test_a_bundle_without_outlier_statistics_has_a_reference_without_components(bundle, labelled, found):
    plain = replace(bundle, manifest=bundle.manifest.model_copy(update={"outliers": None}))
    assert site_drift(bundle, labelled, found).reference.components == 4
    assert site_drift(plain, labelled, found).reference.components == 0


def test_the_profile_holds_what_was_found_and_belongs_to_the_bundle(bundle, labelled, found, tmp_path):
    profile = write(bundle, labelled, found, None, tmp_path)
    profile.require_bundle(bundle)
    assert profile.path == tmp_path / "mercy-1"
    manifest = profile.manifest
    np.testing.assert_array_equal(profile.head.weights, found.head.weights)
    assert manifest.conformal == found.conformal and manifest.operating_points is manifest.review is manifest.outliers is None
    assert manifest.verified and manifest.films == dict.fromkeys(FINDINGS, 7)
    assert manifest.figures == {"before": found.before, "after": found.after, "difference": found.difference}
    assert set(manifest.files) == {"head.safetensors", "golden.npz", "drift_reference.json"}


def test_a_profile_of_films_without_labels_is_not_verified(bundle, films, tmp_path):
    only = ReadFilms(tuple(each for each in films.used if not each.film.finding), ())
    threshold = bundle.manifest.outliers.model_copy(update={"threshold": 123.0})
    profile = write(bundle, only, None, unlabelled(21, threshold, ("Not verified.",)), tmp_path)
    assert not profile.manifest.verified and profile.head is None
    assert profile.manifest.outliers == threshold and profile.manifest.figures == {}
    assert profile.manifest.warnings == ("Not verified.",) and profile.manifest.films == {"unlabelled": 21}
    assert Finding.NORMAL not in profile.manifest.films
