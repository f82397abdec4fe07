"""A model with a site profile: what changes in its answers, and what does not."""

import json
import logging
from functools import partial

import numpy as np
import pytest

from export.site_profile import golden_answers
from service.film.preprocessing import decode, to_model_input
from service.model import load_model
from service.model import model as module
from service.model.bundle import ModelBundle
from service.model.decision import ReviewReason
from service.model.drift_reference import DriftReference
from service.model.errors import HashMismatch, ProfileGoldenMismatch, ProfileInvalid, ProfileMismatch, ProfileNotFound
from service.model.findings import Finding
from service.model.manifest import DRIFT_REFERENCE_NAME, HEAD_NAME
from service.model.model import Model
from service.model.releases import candidates
from service.model.site_profile import SITE_GOLDEN_NAME, Site
from tests.support.encoded_films import dicom_file, film
from tests.support.manifests import copy_bundle
from tests.support.site_profiles import make_profile, site_head

FILMS = [dicom_file(film(seed=seed)) for seed in range(4)]


@pytest.fixture(scope="module")
def head(bundle):
    return site_head(bundle.manifest.head.features)


@pytest.fixture(scope="module")
def released(bundle):
    return Model.from_bundle(bundle)


def test_the_sites_head_answers_from_logits_and_embedding_of_the_graph(bundle, released, head, tmp_path):
    model = load_model(bundle.path, make_profile(bundle, tmp_path, head=head).path)
    spec = bundle.manifest.preprocess
    for data in FILMS:
        outputs = released._predictor.predict(to_model_input(decode(data, spec), spec)[None], ("logits", "embedding"))
        embedding = outputs["embedding"][0].astype(np.float64)
        logits = head.scale * outputs["logits"][0] + head.weights @ (embedding / np.linalg.norm(embedding)) + head.bias
        expected = np.exp(logits) / np.exp(logits).sum()
        prediction = model.predict(data)
        assert list(prediction.probabilities.values()) == pytest.approx(expected, abs=1e-5)
        assert prediction.finding == list(Finding)[int(expected.argmax())]
        assert abs(np.array(list(released.predict(data).probabilities.values())) - expected).max() > 0.01
        assert model.explain(data)[0].probabilities == prediction.probabilities


def test_an_answer_names_the_profile_or_none(bundle, released, tmp_path):
    model = load_model(bundle.path, make_profile(bundle, tmp_path, version=3).path)
    prediction = model.predict(FILMS[0])
    assert (prediction.site, model.site) == (Site("mercy", 3), Site("mercy", 3))
    assert json.loads(json.dumps(prediction.members()))["site"] == {"name": "mercy", "version": 3}
    assert released.site is None
    assert released.predict(FILMS[0]).members()["site"] is None


def test_a_profile_with_a_drift_reference_alone_leaves_every_answer_as_it_was_to_the_bit(bundle, released, tmp_path):
    reference = DriftReference.model_validate_json(bundle.file(DRIFT_REFERENCE_NAME).read_bytes())
    model = Model.from_bundle(bundle, profile=make_profile(bundle, tmp_path, drift_reference=reference))
    assert model.manifest == released.manifest
    for data in FILMS:
        ours, theirs = model.predict(data), released.predict(data)
        assert ours.probabilities == theirs.probabilities
        timed = {"site": None, "inference_time_ms": 0}
        assert ours.members() | timed == theirs.members() | timed
        assert ours.observed == theirs.observed


def test_the_profiles_thresholds_decide(bundle, released, tmp_path):
    points = {name: {"description": "", "thresholds": {"Tuberculosis": 1e-6}} for name in bundle.manifest.operating_points}
    changes = {
        "operating_points": points,
        "conformal": {"coverage": 0.9, "quantiles": dict.fromkeys(Finding, 1.0)},
        "review": {"low_confidence_below": 1.0},
        "outliers": bundle.manifest.outliers.model_dump() | {"threshold": 1e-6, "image_bounds": {}},
    }
    model = Model.from_bundle(bundle, profile=make_profile(bundle, tmp_path, **changes))
    prediction = model.predict(FILMS[0])
    assert prediction.finding is Finding.TUBERCULOSIS
    assert set(prediction.prediction_set) == set(Finding)
    assert {ReviewReason.LOW_CONFIDENCE, ReviewReason.AMBIGUOUS, ReviewReason.OUT_OF_DISTRIBUTION} <= set(
        prediction.review_reasons
    )
    assert prediction.probabilities == released.predict(FILMS[0]).probabilities


@pytest.mark.parametrize(
    "change",
    [
        lambda golden: golden + np.array([[0.002, -0.002, 0]] * len(golden), np.float32),
        lambda golden: golden[:-1],
        lambda golden: golden * np.float32("nan"),
    ],
    ids=["other numbers", "one fewer", "no numbers"],
)
@pytest.mark.parametrize("with_head", [True, False])
def test_golden_answers_that_differ_refuse_the_profile(bundle, head, tmp_path, change, with_head):
    own_head = head if with_head else None
    profile = make_profile(bundle, tmp_path, head=own_head, golden=change(golden_answers(bundle, own_head)))
    with pytest.raises(ProfileGoldenMismatch, match=r"mercy-1/golden\.npz: probabilities .* commission the site again"):
        Model.from_bundle(bundle, profile=profile)


def test_the_answers_of_the_bundle_alone_do_not_prove_a_sites_head(bundle, head, tmp_path):
    profile = make_profile(bundle, tmp_path, head=head, golden=golden_answers(bundle, None))
    with pytest.raises(ProfileGoldenMismatch):
        Model.from_bundle(bundle, profile=profile)


def test_proving_a_model_proves_the_profile_too(bundle, head, tmp_path):
    model = Model.from_bundle(bundle, profile=make_profile(bundle, tmp_path, head=head))
    model.prove()
    golden = golden_answers(bundle, head)
    golden[0] = golden[0, ::-1]
    model.profile = make_profile(bundle, tmp_path, head=head, golden=golden, version=2)
    with pytest.raises(ProfileGoldenMismatch):
        model.prove()
    model.profile.file(SITE_GOLDEN_NAME).unlink()
    with pytest.raises(ProfileInvalid):
        model.prove()


def test_a_profile_of_another_bundle_is_refused(bundle, bundle_path, tmp_path):
    profile = make_profile(bundle, tmp_path / "sites")
    other = copy_bundle(bundle_path, tmp_path, "1.1.0")
    with pytest.raises(ProfileMismatch):
        load_model(other, profile.path)
    with pytest.raises(ProfileNotFound):
        load_model(bundle_path, tmp_path / "nowhere")


@pytest.fixture
def two_bundles(bundle_path, tmp_path, monkeypatch):
    newest, older = (copy_bundle(bundle_path, tmp_path, version) for version in ("1.1.0", "1.0.0"))
    monkeypatch.setattr(module, "candidates", partial(candidates, models_dir=tmp_path))
    return ModelBundle.open(newest), ModelBundle.open(older)


def test_an_older_bundle_is_loaded_with_the_highest_verified_version_of_the_site_that_belongs_to_it(
    two_bundles, tmp_path, caplog
):
    newest, older = two_bundles
    sites = tmp_path / "sites"
    for version, bundle in ((1, older), (2, older), (3, older), (10, newest)):
        make_profile(bundle, sites, version=version, verified=version != 3)
    make_profile(older, sites, name="clinic", version=11)
    assert load_model(site=sites / "mercy-10").site == Site("mercy", 10)
    (newest.path / HEAD_NAME).write_bytes(b"other weights")
    model = load_model(site=sites / "mercy-10")
    assert (model.manifest.version, model.site) == ("1.0.0", Site("mercy", 2))
    assert not [record for record in caplog.records if "without a site profile" in record.message]


def test_an_older_bundle_of_another_site_is_loaded_without_a_profile_and_that_is_an_error(two_bundles, tmp_path, caplog):
    newest, older = two_bundles
    chosen = make_profile(newest, tmp_path / "sites", version=2)
    make_profile(older, tmp_path / "sites", name="clinic")
    damaged = make_profile(older, tmp_path / "sites", version=1)
    damaged.file("golden.npz").write_bytes(b"other")
    (newest.path / HEAD_NAME).write_bytes(b"other weights")
    with caplog.at_level(logging.ERROR):
        model = load_model(site=chosen.path)
    assert (model.manifest.version, model.site) == ("1.0.0", None)
    assert "serves without a site profile: no profile of the site belongs to it" in caplog.text


def test_a_profile_that_does_not_fit_is_no_reason_to_load_an_older_bundle(two_bundles, tmp_path):
    _, older = two_bundles
    with pytest.raises(ProfileMismatch):
        load_model(site=make_profile(older, tmp_path / "sites").path)
    with pytest.raises(ProfileNotFound):
        load_model(site=tmp_path / "nowhere")


def test_without_any_bundle_the_bundles_fault_is_told(two_bundles, tmp_path):
    chosen = make_profile(two_bundles[0], tmp_path / "sites")
    for bundle in two_bundles:
        (bundle.path / HEAD_NAME).write_bytes(b"other weights")
    with pytest.raises(HashMismatch, match=r"1\.1\.0"):
        load_model(site=chosen.path)
