"""A decision is carried out once, however often that is begun: without training, by the real registry."""

import json
import shutil

import pytest

from export.registry import Registry
from service.model.bundle import ModelBundle
from service.model.errors import BundleNotFound
from service.model.manifest import MANIFEST_NAME
from service.model.releases import STATE_NAME, Served, ServingChoice, read_choice
from tests.support.site_profiles import make_profile
from training.retraining.decision import DECISION_NAME, PENDING_NAME, carry_out, decided, settle, unfinished

pytestmark = pytest.mark.slow

NOTE = "Challenger chest-xray-1.1.0, trained from chest-xray-1.0.0 because of Asked for (a reason)."


@pytest.fixture
def folders(tmp_path, bundle_path):
    """The folder of a run whose challenger is exported, and the releases."""
    folder, models = tmp_path / "runs" / "retrain-1.0.0-0123", tmp_path / "models"
    shutil.copytree(bundle_path, models / "chest-xray-1.0.0")
    challenger = folder / "bundle" / "chest-xray-1.1.0"
    shutil.copytree(bundle_path, challenger)
    manifest = json.loads((challenger / MANIFEST_NAME).read_text("utf-8"))
    (challenger / MANIFEST_NAME).write_text(json.dumps(manifest | {"version": "1.1.0"}))
    return folder, models


def settled(folder, promoted):
    decision = {"challenger": "chest-xray-1.1.0", "promoted": promoted, "verdict": "as the test wants it"}
    settle(folder, decision, NOTE, mlflow=None)
    return decision


def test_a_challenger_is_released_and_promoted_once(folders):
    folder, models = folders
    decision = settled(folder, promoted=True)
    assert unfinished(folder.parent) == [folder] and decided(folder) is None
    carry_out(folder, models)
    assert unfinished(folder.parent) == [] and decided(folder) == decision
    settled(folder, promoted=True)  # as if it had been killed before it noted its end
    carry_out(folder, models)
    assert read_choice(models) == ServingChoice(Served("chest-xray-1.1.0"), (Served("chest-xray-1.0.0"),))
    assert [entry.event for entry in Registry(models).log()] == ["promoted"] and NOTE in Registry(models).log()[0].note
    assert ModelBundle.open(models / "chest-xray-1.1.0").manifest.version == "1.1.0"


def test_a_challenger_that_was_rolled_back_is_not_promoted_again(folders):
    folder, models = folders
    settled(folder, promoted=True)
    carry_out(folder, models)
    Registry(models).rollback()
    settled(folder, promoted=True)
    carry_out(folder, models)
    assert read_choice(models) == ServingChoice(Served("chest-xray-1.0.0"), ())


def test_the_reason_why_the_champion_stays_is_logged_once(folders):
    folder, models = folders
    for _ in range(2):
        settled(folder, promoted=False)
        assert carry_out(folder, models) == NOTE
    assert [(entry.event, entry.note) for entry in Registry(models).log()] == [("kept", NOTE)]
    assert not (models / "chest-xray-1.1.0").exists()
    assert (folder / DECISION_NAME).exists() and not (folder / PENDING_NAME).exists()


def test_a_damaged_state_promotes_nothing(folders):
    folder, models = folders
    settled(folder, promoted=True)
    (models / STATE_NAME).write_text("{")
    with pytest.raises(BundleNotFound, match="anew"):
        carry_out(folder, models)
    assert unfinished(folder.parent) == [folder] and not (models / "chest-xray-1.1.0").exists()


def commissioned(models):
    """1.0.0 is served with a profile."""
    make_profile(ModelBundle.open(models / "chest-xray-1.0.0"), models.parent / "sites")
    Registry(models).promote("mercy-1")
    return Served("chest-xray-1.0.0", "mercy-1")


def test_a_better_challenger_of_a_commissioned_champion_needs_commissioning_and_is_not_promoted(folders):
    folder, models = folders
    served = commissioned(models)
    for _ in range(2):  # as if it had been killed before it noted its end
        settled(folder, promoted=True)
        note = carry_out(folder, models)
    assert read_choice(models).serving == served
    decision = decided(folder)
    assert (decision["promoted"], decision["verdict"]) == (False, "as the test wants it; needs commissioning")
    released = models / "chest-xray-1.1.0"
    assert ModelBundle.open(released).manifest.version == "1.1.0"
    assert note.startswith(f"{NOTE} Not promoted, because it needs commissioning: sites/mercy-1 is served")
    assert f"`cxr commission FOLDER --site mercy --bundle {released}`, then `cxr registry promote chest-xray-1.1.0`" in note
    assert [(entry.event, entry.note) for entry in Registry(models).log()][:-1] == [("kept", note)]
    make_profile(ModelBundle.open(released), models.parent / "sites", version=2)
    Registry(models).promote("chest-xray-1.1.0")
    assert read_choice(models).serving == Served("chest-xray-1.1.0", "mercy-2")


def test_a_challenger_that_is_commissioned_meanwhile_is_promoted_with_its_profile(folders):
    folder, models = folders
    commissioned(models)
    make_profile(ModelBundle.open(folder / "bundle" / "chest-xray-1.1.0"), models.parent / "sites", version=2)
    settled(folder, promoted=True)
    carry_out(folder, models)
    assert read_choice(models).serving == Served("chest-xray-1.1.0", "mercy-2")
    assert decided(folder)["promoted"] is True


def test_a_profile_that_a_setting_names_keeps_the_challenger_out_of_the_releases_that_are_served_by_version(folders):
    """Nothing is chosen: the service would load the challenger at its next start, and refuse it with that profile."""
    folder, models = folders
    settled(folder, promoted=True)
    note = carry_out(folder, models, "/home/bentoml/bento/src/sites/mercy-1")
    challenger = folder / "bundle" / "chest-xray-1.1.0"
    assert f"--bundle {challenger}`" in note and note.endswith(f"Between these two, `cxr registry add {challenger}`.")
    assert read_choice(models) is None and not (models / "chest-xray-1.1.0").exists()
    assert decided(folder)["promoted"] is False
