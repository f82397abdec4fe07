"""A decision is carried out once, however often that is begun: without training, by the real registry."""

import json
import shutil

import pytest

from export.registry import Registry
from service.model.bundle import ModelBundle
from service.model.errors import BundleNotFound
from service.model.manifest import MANIFEST_NAME
from service.model.releases import STATE_NAME, ServingChoice, read_choice
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
    assert read_choice(models) == ServingChoice("chest-xray-1.1.0", ("chest-xray-1.0.0",))
    assert [entry.event for entry in Registry(models).log()] == ["promoted"] and NOTE in Registry(models).log()[0].note
    assert ModelBundle.open(models / "chest-xray-1.1.0").manifest.version == "1.1.0"


def test_a_challenger_that_was_rolled_back_is_not_promoted_again(folders):
    folder, models = folders
    settled(folder, promoted=True)
    carry_out(folder, models)
    Registry(models).rollback()
    settled(folder, promoted=True)
    carry_out(folder, models)
    assert read_choice(models) == ServingChoice("chest-xray-1.0.0", ())


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
