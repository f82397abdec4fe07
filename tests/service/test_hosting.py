import shutil
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest

from service.errors import ModelUnavailable, ReloadInProgress
from service.hosting import ModelHost, ReloadOutcome
from service.model.errors import GoldenMismatch
from service.model.manifest import HEAD_NAME
from service.settings import Settings
from tests.support.encoded_films import encode, film
from tests.support.manifests import copy_bundle

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
        "status": "ok", "model_version": "1.0.0", "fallback_in_use": True, "reason": "hash-mismatch", "detail": "",
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
    assert hosted.health() == {"status": "ok", "model_version": "1.0.0", "fallback_in_use": False}


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
