import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

import export.export as export_module
from export.checkpoint import read_config, rebuild_network
from export.commands.export import summary
from export.export import export_bundle
from export.films import read_films
from export.graph import ServingGraph
from service.model.bundle import ModelBundle
from service.model.decision import FILM_REASONS
from service.model.drift_reference import DriftReference
from service.model.findings import FINDINGS, Finding
from service.model.manifest import DRIFT_REFERENCE_NAME, MODEL_CARD_NAME, PARITY_NAME
from service.model.model import Model
from service.model.predictor import OUTPUT_NAMES, Predictor
from tests.support.training.data_folders import validate
from training.data.folder import FilmFile
from training.errors import DatasetError, ExportError, ParityFailed
from training.network.checkpoint import load_checkpoint, save_checkpoint


def films_of(data: Path, split: str) -> list[FilmFile]:
    """The usable films of a split, by training's own validation."""
    return [film for film in validate(data).usable if film.split == split]


@pytest.fixture(scope="module")
def validation_answers(bundle: ModelBundle, export_data: Path) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities [30, 3] of the shipped bundle for the films it was calibrated on, and their labels [30]."""
    films = read_films(films_of(export_data, "val"), bundle.manifest.preprocess)
    return Predictor.from_bundle(bundle).predict(films.images)["probabilities"], films.labels


def test_the_bundle_answers_as_the_checkpoint_does(bundle, tiny_checkpoint, export_data):
    checkpoint = load_checkpoint(tiny_checkpoint)
    network, spec = rebuild_network(checkpoint, read_config(checkpoint))
    films = read_films(films_of(export_data, "test"), spec)
    with torch.no_grad():
        logits, _ = network(torch.from_numpy(films.images))
    expected = torch.softmax(logits / bundle.manifest.temperature, dim=1).numpy()
    np.testing.assert_allclose(Predictor.from_bundle(bundle).predict(films.images)["probabilities"], expected, atol=1e-4)


def test_the_shipped_thresholds_keep_their_promises_on_the_films_that_they_were_fitted_on(bundle, validation_answers):
    probabilities, labels = validation_answers
    tuberculosis = FINDINGS.index(Finding.TUBERCULOSIS)
    threshold = bundle.manifest.operating_points["tb_screening"].thresholds[Finding.TUBERCULOSIS]
    assert (probabilities[labels == tuberculosis, tuberculosis] >= threshold).mean() >= 0.9
    conformal = bundle.manifest.conformal
    for index, finding in enumerate(FINDINGS):
        held = 1.0 - probabilities[labels == index, index].astype(float) <= conformal.quantiles[finding] + 1e-5
        assert held.mean() >= conformal.coverage


def test_the_operating_points_are_those_of_the_contract(bundle):
    points = bundle.manifest.operating_points
    assert set(points) == {"balanced", "high_sensitivity", "high_specificity", "tb_screening"}
    assert points["balanced"].thresholds == {}
    assert points["high_sensitivity"].thresholds == {Finding.PNEUMONIA: 0.3, Finding.TUBERCULOSIS: 0.3}
    assert points["high_specificity"].thresholds == {Finding.PNEUMONIA: 0.7, Finding.TUBERCULOSIS: 0.7}


def test_the_drift_reference_describes_training_films_and_validation_answers(bundle, validation_answers):
    reference = DriftReference.model_validate_json(bundle.file(DRIFT_REFERENCE_NAME).read_text("utf-8"))
    probabilities, _ = validation_answers
    assert reference.numeric["mean"].films == 24
    assert reference.numeric["confidence"].films == 30
    assert reference.numeric["aspect_ratio"].maximum == pytest.approx(152 / 128)
    assert reference.numeric["confidence"].maximum == pytest.approx(probabilities.max(), abs=1e-5)
    shares = np.bincount(probabilities.argmax(axis=1), minlength=3) / len(probabilities)
    assert [reference.predicted_class[finding] for finding in FINDINGS] == pytest.approx(shares)


def test_the_shipped_thresholds_flag_the_share_of_validation_films_that_the_manifest_states(bundle, export_data):
    model = Model.from_bundle(bundle)
    predictions = [model.predict(film.path) for film in films_of(export_data, "val")]
    flagged = [bool(set(FILM_REASONS) & set(prediction.review_reasons)) for prediction in predictions]
    outliers = bundle.manifest.outliers
    assert outliers is not None and outliers.films == 30
    assert np.mean(flagged) == pytest.approx(outliers.flagged_share)
    highest = max(prediction.observed.outlier_score or 0 for prediction in predictions)
    assert outliers.threshold == pytest.approx(highest, rel=1e-3), "of thirty films, a share of 1 % leaves room for none"


def test_parity_is_recorded_for_every_output(bundle):
    parity = json.loads(bundle.file(PARITY_NAME).read_text("utf-8"))
    for kind in ("real", "random"):
        assert set(parity[kind]) == set(OUTPUT_NAMES)
        assert all(0 < output["max_gap"] <= output["allowed"] for output in parity[kind].values())
    assert parity["batch_sizes"] == [1, 2, 7, 16]
    assert parity["images"] == 26


def test_the_manifest_says_where_the_bundle_came_from(bundle, export_data):
    manifest = bundle.manifest
    assert (manifest.name, manifest.version, manifest.architecture) == ("chest-xray", "1.0.0", "tf_efficientnet_lite0")
    assert manifest.data_fingerprint == validate(export_data).data_fingerprint and manifest.git_commit == "0" * 40
    assert manifest.training_config["model"]["weights_file"] == "imagenet.pt"
    assert {"torch", "onnxruntime", "timm"} <= set(manifest.versions)
    assert manifest.test_metrics == {}


def test_the_card_states_calibration_use_and_limits_and_the_summary_its_calibration_and_the_next_command(bundle):
    card = bundle.file(MODEL_CARD_NAME).read_text("utf-8")
    calibration = (
        "30 validation films",
        f"| Temperature | {bundle.manifest.temperature:.4f}",
        f"share of the validation films | {bundle.manifest.outliers.flagged_share:.3f}",
    )
    for part in ("For research use only", *calibration, "## Limits"):
        assert part in card
    said = summary(bundle, registered=True)
    for part in (str(bundle.path), *calibration, "chest-xray:1.0.0", "Next: cxr evaluate"):
        assert part in said


def test_an_existing_version_is_refused_before_any_work(bundle_path, export_data):
    with pytest.raises(ExportError, match="raise the version"):
        export_bundle(bundle_path / "absent.pt", export_data, version="1.0.0", out=bundle_path.parent)


def test_a_parity_failure_leaves_nothing_on_disk(tiny_checkpoint, export_data, tmp_path, monkeypatch):
    """An exporter that loses part of the head: here its real result, with one bias moved."""
    convert = export_module.to_onnx

    def convert_wrongly(graph: ServingGraph, image_size_px: int) -> onnx.ModelProto:
        model = convert(graph, image_size_px)
        (bias,) = (tensor for tensor in model.graph.initializer if tensor.name == "network.head.classifier.bias")
        moved = onnx.numpy_helper.to_array(bias) + np.float32([0.05, 0, 0])
        bias.CopyFrom(onnx.numpy_helper.from_array(moved, bias.name))
        return model

    monkeypatch.setattr(export_module, "to_onnx", convert_wrongly)
    with pytest.raises(ParityFailed, match="logits of real images by"):
        export_bundle(tiny_checkpoint, export_data, version="1.0.0", out=tmp_path / "models")
    assert list((tmp_path / "models").iterdir()) == []


def test_a_mean_of_several_runs_is_exported_with_the_recipe_of_each(tiny_checkpoint, export_data, tmp_path):
    checkpoint = load_checkpoint(tiny_checkpoint)
    recipes = [checkpoint["config"], checkpoint["config"] | {"run": {"seed": 7}}]
    save_checkpoint(tmp_path / "soup.pt", checkpoint | {"averaged_runs": recipes})
    bundle = export_bundle(tmp_path / "soup.pt", export_data, version="1.0.0", out=tmp_path / "models")
    assert [recipe["run"]["seed"] for recipe in bundle.manifest.training_config["averaged_runs"]] == [
        recipe["run"]["seed"] for recipe in recipes
    ]


def test_another_folder_than_the_one_trained_on_is_refused_before_any_work(tiny_checkpoint, phantom_dataset, tmp_path):
    data = phantom_dataset(films_per_class={"train": 1, "val": 1})
    trained_on = load_checkpoint(tiny_checkpoint)["data_fingerprint"]
    complaint = f"has the fingerprint {validate(data).data_fingerprint[:12]}, but .* with {trained_on[:12]}; give that folder"
    with pytest.raises(DatasetError, match=complaint):
        export_bundle(tiny_checkpoint, data, version="1.0.0", out=tmp_path / "models")
    assert list((tmp_path / "models").iterdir()) == []


def test_importing_export_opens_nothing():
    """Neither BentoML nor a logging configuration comes with the import."""
    code = "import sys, logging, export.export; assert 'bentoml' not in sys.modules; assert not logging.getLogger().handlers"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
