"""A reissued bundle gives the same probabilities, with a new drift reference and a new review threshold."""

import json
import shutil

import pytest

from export.bundle import seal
from export.reissue import follows, reissue, reissued_card
from service.commands.cxr import main
from service.files import write_json
from service.model.bundle import ModelBundle
from service.model.drift_reference import COMPONENT_FEATURES, DriftReference
from service.model.manifest import DRIFT_REFERENCE_NAME, MODEL_CARD_NAME, ReviewSpec
from training.errors import DatasetError, ExportError


@pytest.fixture
def older(bundle_path, tmp_path):
    """A release whose reference knows no components, as chest-xray 1.1.0's."""
    folder = shutil.copytree(bundle_path, tmp_path / "chest-xray-1.0.0")
    reference = json.loads((folder / DRIFT_REFERENCE_NAME).read_text())
    for name in COMPONENT_FEATURES:
        del reference["numeric"][name]
    write_json(folder / DRIFT_REFERENCE_NAME, reference)
    return seal(folder, ModelBundle.open(bundle_path).manifest)


def test_a_reissue_differs_from_its_release_in_reference_review_card_and_version_only(older, export_data):
    reissued = reissue(older.path, export_data, "1.0.1")
    assert reissued.path.name == "chest-xray-1.0.1"
    same = {name for name, digest in older.manifest.files.items() if reissued.manifest.files[name] == digest}
    assert set(older.manifest.files) - same == {DRIFT_REFERENCE_NAME, MODEL_CARD_NAME}
    members = {"version", "files", "review", "test_metrics"}
    assert reissued.manifest.model_dump(exclude=members) == older.manifest.model_dump(exclude=members)
    kept = {name: value for name, value in older.manifest.test_metrics.items() if name != "operating_points"}
    assert reissued.manifest.test_metrics == kept


def test_the_new_review_threshold_is_the_one_that_an_export_writes(older, bundle, export_data):
    seal(older.path, older.manifest.model_copy(update={"review": ReviewSpec(low_confidence_below=0.0123)}))
    assert reissue(older.path, export_data, "1.1.0").manifest.review == bundle.manifest.review


def test_the_new_reference_is_the_one_that_an_export_writes(older, bundle, export_data):
    patched = reissue(older.path, export_data, "1.0.1")
    made, exported = (
        DriftReference.model_validate_json(each.file(DRIFT_REFERENCE_NAME).read_bytes()) for each in (patched, bundle)
    )
    assert made.components == len(COMPONENT_FEATURES)
    for name, numeric in exported.numeric.items():
        assert made.numeric[name].edges == pytest.approx(numeric.edges, abs=1e-5)
        assert made.numeric[name].shares == pytest.approx(numeric.shares)


@pytest.mark.parametrize("version", ["1.0.0", "0.9.9", "2.0.1", "1.1", "1.0.0.1", "1.1_0.0", "1.1.0\n", "later"])
def test_a_version_that_does_not_follow_the_release_is_refused(older, export_data, version):
    assert not follows("1.0.0", version)
    with pytest.raises(ExportError, match="does not follow"):
        reissue(older.path, export_data, version)


def test_another_data_folder_is_refused(older, phantom_dataset):
    with pytest.raises(DatasetError):
        reissue(older.path, phantom_dataset(), "1.0.1")


def test_a_bundle_that_tells_no_outliers_cannot_be_reissued(bundle_path, export_data, tmp_path):
    folder = shutil.copytree(bundle_path, tmp_path / "chest-xray-1.0.0")
    seal(folder, ModelBundle.open(bundle_path).manifest.model_copy(update={"outliers": None}))
    with pytest.raises(ExportError, match="no outlier statistics"):
        reissue(folder, export_data, "1.0.1")


def test_the_card_says_which_release_was_measured():
    card = reissued_card("# Model card: chest-xray 1.1.0\n\nFigures of 1.1.0.\n", "chest-xray", "1.1.0", "1.1.1")
    assert card.startswith("# Model card: chest-xray 1.1.1\n\n") and "those of chest-xray 1.1.0" in card
    assert card.endswith("Figures of 1.1.0.\n")


def test_the_command_names_a_bundle_that_is_missing(tmp_path, capsys):
    assert main(["registry", "reissue", str(tmp_path / "nothing"), "--data", str(tmp_path), "--version", "1.0.1"]) == 1
    assert capsys.readouterr().err.startswith("No bundle at")
