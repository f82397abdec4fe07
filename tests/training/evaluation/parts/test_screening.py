"""Thresholds chosen on the val split, judged on the evaluated one."""

import numpy as np
import pytest

from service.model.bundle import ModelBundle
from service.model.predictor import Predictor
from training.data.folder import scan_folder
from training.evaluation.judging.films import judge
from training.evaluation.parts.screening import threshold_of_sensitivity


def test_a_threshold_keeps_its_sensitivity_and_is_the_highest_that_does():
    positive = np.r_[np.ones(10, bool), np.zeros(5, bool)]
    scores = np.r_[np.arange(1, 11) / 10, np.full(5, 0.95)]
    assert threshold_of_sensitivity(positive, scores, 0.9) == 0.2
    assert threshold_of_sensitivity(positive, scores, 0.95) == 0.1
    assert threshold_of_sensitivity(positive, scores, 0.1) == 1.0


def test_a_threshold_of_the_validation_split_is_judged_on_the_other(metrics, trained_bundle, licensed_data):
    predictor = Predictor.from_bundle(ModelBundle.open(trained_bundle))
    of_split = {
        split: judge(predictor, [film for film in scan_folder(licensed_data) if film.split == split], threads=1).judgements()
        for split in ("val", "test")
    }
    scores = {split: judged.probabilities[:, 2] for split, judged in of_split.items()}
    threshold = scores["val"][of_split["val"].labels == 2].min()  # 95 % of two films are both
    assert metrics["screening"]["thresholds"]["0.95"] == pytest.approx(threshold, abs=1e-6)
    landed = metrics["screening"]["landed"]["0.95"]
    assert landed["sensitivity"] == pytest.approx((scores["test"][of_split["test"].labels == 2] >= threshold).mean(), abs=1e-6)
    assert landed["specificity"] == pytest.approx((scores["test"][of_split["test"].labels != 2] < threshold).mean(), abs=1e-6)
    assert metrics["screening"]["on_val"]["0.95"]["sensitivity"] == 1.0
