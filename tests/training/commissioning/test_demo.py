"""The synthetic hospital from end to end, with the released bundle."""

import json
import os

import numpy as np
import pytest

from service.commands.cxr import main
from service.model import load_model
from service.model.bundle import ModelBundle
from service.model.drift_reference import DriftReference
from service.model.findings import FINDINGS
from service.model.releases import locate_bundle
from service.model.site_profile import Site, SiteProfile
from training.commissioning.films.folder import find_films
from training.evaluation.measures.bootstrap import without_intervals


@pytest.fixture(scope="module")
def profile(demo):
    return SiteProfile.open(demo / "sites" / "demo-1")


def test_the_release_fails_there_and_the_profile_answers_well(demo_metrics):
    found = demo_metrics["acceptance"]
    assert found["before"]["accuracy"] < 0.5
    assert found["after"]["accuracy"] > 0.65
    assert found["difference"]["interval_95"]["accuracy"][0] > 0.1
    assert demo_metrics["parts"]["head"]["written"] and demo_metrics["parts"]["drift_reference"]["written"]
    assert demo_metrics["profile"] == "demo-1" and demo_metrics["verified"]


def test_the_gain_is_not_the_exposure(demo_metrics):
    assert demo_metrics["acceptance"]["shortcuts"]["warning"] is None


def test_films_are_counted_and_a_damaged_one_and_a_copy_left_out(demo_metrics):
    films = demo_metrics["films"]
    assert films["by_finding"] == {"Normal": 40, "Pneumonia": 40, "Tuberculosis": 40, "unlabelled": 100}
    assert films["left_out"] == {"Duplicate": 1, "UnreadableImage": 1}
    assert films["patients"] == 90


def test_the_profile_is_applied_by_the_service_and_answers_better(demo, profile):
    bundle = ModelBundle.open(locate_bundle(None))
    profile.require_bundle(bundle)
    release, site = load_model(bundle.path), load_model(bundle.path, site=profile.path)
    labelled = [film for film in find_films(demo / "films") if film.finding][::4]
    right = [[model.predict(film.path).finding is film.finding for film in labelled] for model in (release, site)]
    assert np.mean(right[1]) > np.mean(right[0]) + 0.3
    assert site.predict(labelled[0].path).site == Site("demo", 1)


def test_the_profile_records_the_acceptance(demo_metrics, profile):
    manifest = profile.manifest
    assert manifest.figures["after"] == demo_metrics["acceptance"]["after"]
    assert manifest.films == demo_metrics["films"]["by_finding"]
    assert manifest.verified
    assert manifest.created_at == demo_metrics["created_at"]


def test_drift_is_measured_on_the_films_without_a_label(profile):
    reference = DriftReference.model_validate_json(profile.file("drift_reference.json").read_text())
    assert set(reference.films().values()) == {100}
    assert reference.components == 4
    # Mostly normal films, as the profile calls them; the release calls none so.
    assert reference.predicted_class[FINDINGS[0]] > 0.4


def test_no_film_and_no_path_is_in_the_profile_or_in_what_may_be_passed_on(demo, profile):
    passed_on = [path for path in (demo / "reports").rglob("*") if path.is_file() and "local" not in path.parts]
    names = {film.path.name.encode() for film in find_films(demo / "films")} | {str(demo.parent).encode(), b"study/"}
    for path in [*passed_on, *profile.path.iterdir()]:
        content = path.read_bytes()
        assert [name for name in names if name in content] == [], path.name
    assert sum(path.stat().st_size for path in profile.path.iterdir()) < 100_000


def test_an_existing_folder_is_left_as_it_is(demo, capsys):
    before = sorted(demo.rglob("*"))
    assert main(["commission", "--demo", str(demo)]) == 1
    assert capsys.readouterr().err.strip().endswith("films exists; give a new folder.")
    assert sorted(demo.rglob("*")) == before


def test_the_report_can_be_read_by_people_and_programs(demo, demo_metrics):
    folder = demo / "reports" / "commission-demo-1"
    assert {path.name for path in folder.iterdir()} == {"figures", "local", "metrics.json", "report.html", "report.md"}
    assert demo_metrics["command"].startswith("cxr commission films --site demo")
    assert all(os.sep + "tmp" not in text for text in (json.dumps(demo_metrics), (folder / "report.md").read_text()))
    accuracy = without_intervals(demo_metrics["acceptance"]["after"])["accuracy"]
    assert f"{accuracy:.3f} (" in (folder / "report.md").read_text()
