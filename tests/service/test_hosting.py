import shutil
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from prometheus_client import REGISTRY

from service.errors import ModelUnavailable, ReloadInProgress
from service.hosting import ModelHost, ReloadOutcome
from service.model.bundle import ModelBundle
from service.model.errors import GoldenMismatch
from service.model.manifest import HEAD_NAME
from service.model.site_profile import SITE_GOLDEN_NAME, Site
from service.settings import Settings
from tests.support.encoded_films import encode, film
from tests.support.manifests import copy_bundle
from tests.support.site_profiles import make_profile, site_head

PNG = encode(film(256), "PNG")


def spoil(path):
    (path / HEAD_NAME).write_bytes(b"other weights")


@pytest.fixture
def models(tmp_path, bundle_path):
    for version in ("1.0.0", "1.1.0"):
        copy_bundle(bundle_path, tmp_path, version)
    return tmp_path


def host(models, version):
    return ModelHost(Settings(bundle=str(models / f"chest-xray-{version}")))


def test_the_version_before_serves_where_the_chosen_one_cannot_be_trusted(models):
    spoil(models / "chest-xray-1.1.0")
    hosted = host(models, "1.1.0")
    health = hosted.health()
    assert health | {"detail": ""} == {
        "status": "ok", "model_version": "1.0.0", "fallback_in_use": True, "site": None,
        "reason": "hash-mismatch", "detail": "",
    }  # fmt: skip
    assert hosted.pipeline.predict(PNG, "balanced").probabilities


def test_a_release_whose_files_cannot_be_read_is_not_trusted_either(models):
    head = models / "chest-xray-1.1.0" / HEAD_NAME
    head.unlink()
    head.symlink_to("/proc/self/mem")  # a file that is there, and that nobody can read from its beginning
    health = host(models, "1.1.0").health()
    assert (health["model_version"], health["fallback_in_use"], health["reason"]) == ("1.0.0", True, "bundle-not-found")


def test_a_newer_version_is_never_fallen_back_to(models):
    spoil(models / "chest-xray-1.0.0")
    hosted = host(models, "1.0.0")
    assert (hosted.health()["status"], hosted.health()["reason"]) == ("unavailable", "hash-mismatch")
    with pytest.raises(ModelUnavailable):
        hosted.prove_inference()


def test_reloading_takes_over_a_new_version_and_lets_the_old_one_go(models, bundle_path):
    link = models / "current"
    link.symlink_to(models / "chest-xray-1.0.0")
    hosted = ModelHost(Settings(bundle=str(link)))
    old = weakref.ref(hosted.pipeline)
    link.unlink()
    link.symlink_to(models / "chest-xray-1.1.0")
    outcome = hosted.reload()
    assert (outcome.outcome, outcome.previous_version, outcome.model_version) == ("swapped", "1.0.0", "1.1.0")
    assert old() is None
    assert hosted.reload().outcome == "unchanged"


def test_a_reload_that_fails_leaves_the_serving_model_and_says_so(models):
    hosted = host(models, "1.1.0")
    serving = hosted.pipeline
    spoil(models / "chest-xray-1.1.0")
    outcome = hosted.reload()
    assert outcome == ReloadOutcome("fallback", "1.1.0", "1.1.0", fallback_in_use=True)
    assert hosted.pipeline is serving
    assert hosted.health()["fallback_in_use"]


def test_a_host_without_a_model_serves_after_a_reload_that_finds_one(models, bundle_path):
    spoil(models / "chest-xray-1.0.0")
    hosted = host(models, "1.0.0")
    shutil.rmtree(models / "chest-xray-1.0.0")
    copy_bundle(bundle_path, models, "1.0.0")
    assert hosted.reload().outcome == "swapped"
    assert hosted.health() == {"status": "ok", "model_version": "1.0.0", "fallback_in_use": False, "site": None}


def test_only_one_reload_runs_at_a_time_while_the_model_goes_on_serving(models, monkeypatch):
    hosted = host(models, "1.1.0")
    serving = hosted.pipeline
    loading, go_on = threading.Event(), threading.Event()
    load = hosted._load

    def slow_load(serving):
        loading.set()
        go_on.wait(30)
        return load(serving)

    monkeypatch.setattr(hosted, "_load", slow_load)
    with ThreadPoolExecutor(1) as threads:
        first = threads.submit(hosted.reload)
        assert loading.wait(30)
        with pytest.raises(ReloadInProgress):
            hosted.reload()
        assert hosted.pipeline is serving
        go_on.set()
        assert first.result(30).outcome == "unchanged"


def test_a_model_that_stops_to_infer_rightly_is_no_longer_proven(models, monkeypatch):
    hosted = host(models, "1.1.0")
    hosted.prove_inference()

    def wrong(*_, **__):
        raise GoldenMismatch("other numbers")

    monkeypatch.setattr(hosted.pipeline.model, "prove", wrong)
    hosted.prove_inference()  # proven a moment ago
    hosted._proven_at = float("-inf")
    with pytest.raises(GoldenMismatch):
        hosted.prove_inference()


@pytest.fixture
def profiled(models):
    """Factory: profiled(version, bundle_version) -> a profile of the site "mercy", with a head of its own."""

    def make(version, bundle_version="1.1.0"):
        bundle = ModelBundle.open(models / f"chest-xray-{bundle_version}")
        head = site_head(bundle.manifest.head.features, seed=version)
        return make_profile(bundle, models / "sites", head=head, version=version)

    return make


def commissioned(models, profile, version="1.1.0"):
    return ModelHost(Settings(bundle=str(models / f"chest-xray-{version}"), site=str(profile)))


def test_the_profile_of_the_settings_answers_and_health_names_it(models, profiled):
    hosted = commissioned(models, profiled(1).path)
    assert hosted.health() == {
        "status": "ok", "model_version": "1.1.0", "fallback_in_use": False, "site": {"name": "mercy", "version": 1},
    }  # fmt: skip
    prediction = hosted.pipeline.predict(PNG, "balanced")
    assert prediction.members()["site"] == {"name": "mercy", "version": 1}
    assert prediction.probabilities != host(models, "1.1.0").pipeline.predict(PNG, "balanced").probabilities


@pytest.mark.parametrize("fault", ["profile-mismatch", "profile-not-found", "profile-invalid", "profile-golden-mismatch"])
def test_a_profile_that_cannot_be_applied_is_neither_left_out_nor_served_with_an_older_bundle(models, profiled, fault):
    if fault == "profile-golden-mismatch":
        bundle = ModelBundle.open(models / "chest-xray-1.1.0")
        path = make_profile(bundle, models / "sites", golden=np.full((6, 3), 1 / 3, np.float32)).path
    else:
        path = profiled(1, "1.0.0" if fault == "profile-mismatch" else "1.1.0").path
    if fault == "profile-not-found":
        shutil.rmtree(path)
    if fault == "profile-invalid":
        (path / SITE_GOLDEN_NAME).write_bytes(b"other answers")
    health = commissioned(models, path).health()
    assert (health["status"], health["model_version"], health["site"]) == ("unavailable", None, None)
    assert health["reason"] == fault
    assert str(path) not in health["detail"]


@pytest.mark.parametrize(("belongs_to", "served"), [("1.0.0", {"name": "mercy", "version": 1}), ("1.1.0", None)])
def test_an_older_bundle_serves_with_the_sites_profile_for_it_or_with_none(models, profiled, belongs_to, served, caplog):
    profiled(1, belongs_to)
    chosen = profiled(2)
    spoil(models / "chest-xray-1.1.0")
    health = commissioned(models, chosen.path).health()
    assert (health["model_version"], health["fallback_in_use"], health["site"]) == ("1.0.0", True, served)
    assert ("without a site profile" in caplog.text) == (served is None)


def test_reloading_takes_over_a_new_profile_of_the_same_bundle(models, profiled):
    link = models / "current"
    link.symlink_to(profiled(1).path)
    hosted = commissioned(models, link)
    before = hosted.pipeline.predict(PNG, "balanced").probabilities
    assert hosted.reload().outcome == "unchanged"
    link.unlink()
    link.symlink_to(profiled(2).path)
    assert hosted.reload().outcome == "swapped"
    assert hosted.health()["site"] == {"name": "mercy", "version": 2}
    assert hosted.pipeline.predict(PNG, "balanced").probabilities != before


def info(version, site):
    return REGISTRY.get_sample_value("cxr_model_info", {"version": version, "site": site})


def test_metrics_say_which_profile_answers_now_and_which_one_did_before(models, profiled):
    link = models / "current"
    link.symlink_to(profiled(7).path)
    hosted = commissioned(models, link)
    assert (info("1.1.0", "mercy-7"), info("1.1.0", "mercy-8")) == (1, None)
    link.unlink()
    link.symlink_to(profiled(8).path)
    hosted.reload()
    assert (info("1.1.0", "mercy-7"), info("1.1.0", "mercy-8")) == (0, 1)


def test_a_reload_with_a_profile_of_another_bundle_keeps_what_is_served(models, profiled):
    link = models / "current"
    link.symlink_to(profiled(1).path)
    hosted = commissioned(models, link)
    serving = hosted.pipeline
    link.unlink()
    link.symlink_to(profiled(2, "1.0.0").path)
    kept = {"previous_site": Site("mercy", 1), "site": Site("mercy", 1)}
    assert hosted.reload() == ReloadOutcome("fallback", "1.1.0", "1.1.0", fallback_in_use=True, **kept)
    assert hosted.pipeline is serving
    assert (hosted.health()["site"], hosted.health()["reason"]) == ({"name": "mercy", "version": 1}, "profile-mismatch")


def test_a_reload_with_a_damaged_profile_is_counted_as_a_bundle_that_fails_is(models, profiled):
    hosted = commissioned(models, profiled(1).path)
    before = counted()
    (models / "sites" / "mercy-1" / SITE_GOLDEN_NAME).write_bytes(b"other answers")
    hosted.reload()
    assert hosted.health()["fallback_in_use"]
    assert counted() == before + 1


def test_a_reload_without_any_bundle_is_counted_too(models):
    hosted = host(models, "1.1.0")
    before = counted()
    shutil.rmtree(models / "chest-xray-1.1.0")
    hosted.reload()
    assert (hosted.health()["reason"], hosted.health()["fallback_in_use"]) == ("bundle-not-found", True)
    assert counted() == before + 1


def counted():
    return REGISTRY.get_sample_value("cxr_model_fallbacks_total")


def test_the_profile_is_proven_with_the_model(models, profiled, monkeypatch):
    hosted = commissioned(models, profiled(1).path)
    monkeypatch.setattr(type(hosted.pipeline.model.profile), "golden_probabilities", lambda _: np.zeros((6, 3), np.float32))
    with pytest.raises(GoldenMismatch):
        hosted.prove_inference()
