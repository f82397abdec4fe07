import json

import pytest

from service.model.releases import STATE_NAME
from training.retraining.challenger import CLAIM_NAME, next_version


@pytest.fixture
def folders(tmp_path):
    models, runs = tmp_path / "models", tmp_path / "runs"
    (models / "chest-xray-1.1.1").mkdir(parents=True)
    runs.mkdir()
    return models, runs


def following(folders):
    return next_version("chest-xray", "1.1.1", *folders)


def write_log(models, *entries):
    (models / STATE_NAME).write_text(json.dumps({"serving": None, "previous": [], "log": list(entries)}))


def test_the_next_version_is_the_next_minor_one(folders):
    assert following(folders) == "1.2.0"


def test_a_number_that_a_folder_has_is_taken(folders):
    """As after a rollback, when the challenger that disappointed still lies behind the champion."""
    (folders[0] / "chest-xray-1.2.0").mkdir()
    assert following(folders) == "1.3.0"
    (folders[0] / "chest-xray-1.10.3").mkdir()
    assert following(folders) == "1.11.0"


@pytest.mark.parametrize(
    "entry",
    [
        {"event": "promoted", "release": "chest-xray-1.2.0", "before": "chest-xray-1.1.1"},
        {"event": "rolled back", "release": "chest-xray-1.1.1", "before": "chest-xray-1.2.0"},
        {"event": "kept", "release": "chest-xray-1.1.1", "note": "Challenger chest-xray-1.2.0, trained from it."},
    ],
)
def test_a_number_that_a_decision_names_is_taken_though_its_folder_is_gone(folders, entry):
    write_log(folders[0], entry)
    assert following(folders) == "1.3.0"


@pytest.mark.parametrize(
    "text",
    ["## chest-xray 1.2.0 (2026-12-01)", "Challenger 1.2.0, trained from chest-xray-1.1.1", "Promoted to chest-xray-1.2.0"],
)
def test_a_number_in_the_changelog_is_taken(folders, text):
    (folders[0] / "CHANGELOG.md").write_text(f"# Models\n\n{text}\n")
    assert following(folders) == "1.3.0"


def test_a_number_that_another_run_settled_on_is_taken(folders):
    (folders[1] / "retrain-1.1.1-0123").mkdir()
    (folders[1] / "retrain-1.1.1-0123" / CLAIM_NAME).write_text(json.dumps({"challenger": "chest-xray-1.2.0"}))
    assert following(folders) == "1.3.0"


def test_other_models_services_and_major_versions_take_no_number(folders):
    models, _ = folders
    for name in ("lung-fields-1.9.0", "chest-xray-2.5.0", "chest-xray-0.9.0"):
        (models / name).mkdir()
    (models / "CHANGELOG.md").write_text("Needs service 1.7.0 or newer.\n")
    assert following(folders) == "1.2.0"
