"""Calibration before and after the temperature, and what perfect calibration would score."""

import numpy as np
import pytest

from service.model.bundle import ModelBundle
from service.model.manifest import MODEL_CARD_NAME
from service.model.predictor import Predictor
from training.data.folder import scan_folder
from training.evaluation.judging.films import judge
from training.evaluation.measures.calibration import one_vs_rest_ece
from training.evaluation.parts.calibration import _if_calibrated


def test_calibration_is_measured_before_and_after_the_temperature(metrics, evaluated, trained_bundle, licensed_data):
    bundle = ModelBundle.open(trained_bundle)
    calibration = metrics["calibration"]
    assert calibration["temperature"] == bundle.manifest.temperature != 1
    films = [film for film in scan_folder(licensed_data) if film.split == "test"]
    judged = judge(Predictor.from_bundle(bundle), films, threads=1)
    after, before = judged.judgements(), judged.uncalibrated()
    logits = np.stack([each.logits for each in judged.judged])
    np.testing.assert_allclose(before.probabilities, np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True))
    for stage, judgements in (("before", before), ("after", after)):
        of_truth = judgements.probabilities[np.arange(len(judgements.labels)), judgements.labels]
        assert calibration[stage]["log_loss"] == pytest.approx(-np.log(of_truth).mean(), abs=1e-6)
    assert f"{calibration['before']['log_loss']:.3f} |" in (evaluated / MODEL_CARD_NAME).read_text()


def test_what_perfect_calibration_would_score_stands_beside_the_measured_error(metrics, evaluated):
    floor = metrics["calibration"]["if_calibrated"]
    assert 0 < floor["macro_ece_equal_width"] < floor["quantile_95"] < 1
    said = f"the macro ECE would be {floor['macro_ece_equal_width']:.3f} on average"
    assert said in (evaluated / MODEL_CARD_NAME).read_text()


def test_calibrated_labels_score_what_the_simulation_says():
    rng = np.random.default_rng(5)
    probabilities = rng.dirichlet([0.3, 0.3, 0.3], size=400)
    drawn = np.array([rng.choice(3, p=row) for row in probabilities])
    floor = _if_calibrated(probabilities, seed=0)
    assert one_vs_rest_ece(drawn, probabilities).mean() == pytest.approx(floor["macro_ece_equal_width"], abs=0.02)
    many = _if_calibrated(np.repeat(probabilities, 16, axis=0), seed=0)
    ratio = floor["macro_ece_equal_width"] / many["macro_ece_equal_width"]
    assert ratio == pytest.approx(4, rel=0.15), "noise falls with the root of the number of films"
