"""The metrics of every evaluation."""

import json

import numpy as np
import pytest
from sklearn import metrics as sk

from tests.support.training.random_judgements import random_judgements
from training.evaluation.measures.bootstrap import Bootstrap
from training.evaluation.measures.metrics import Judgements, measure


def test_measure_derives_every_count_from_the_one_matrix():
    measured = measure(random_judgements(), Bootstrap(50, 0))
    counts = np.array(measured["confusion_matrix"]["counts"])
    headline, classes = measured["headline"], measured["per_class"].values()
    assert counts.sum() == measured["n"] == 240
    assert [each["support"] for each in classes] == counts.sum(axis=1).tolist()
    assert headline["accuracy"] == pytest.approx(np.trace(counts) / 240, abs=1e-6)
    assert headline["tuberculosis_recall"] == measured["per_class"]["Tuberculosis"]["recall"]
    assert headline["tuberculosis_recall"] == pytest.approx(counts[2, 2] / counts[2].sum(), abs=1e-6)
    assert headline["macro_ece"] == pytest.approx(np.mean([each["ece"] for each in classes]), abs=1e-5)
    assert headline["macro_auc"] == pytest.approx(np.mean([each["auc"] for each in classes]), abs=1e-5)


def test_sources_report_only_the_classes_and_pairs_they_have():
    judged = random_judgements()
    measured = measure(judged, Bootstrap(50, 0))["per_source"]
    assert set(measured) == {"clinic", "mixed"}
    assert set(measured["mixed"]["recall"]) - {"interval_95"} == {"Normal", "Tuberculosis"}
    assert set(measured["mixed"]["auc"]) - {"interval_95"} == {"Tuberculosis vs Normal"}
    assert len(set(measured["clinic"]["auc"]) - {"interval_95"}) == 3
    chosen = judged.of_source("mixed")
    assert measured["mixed"]["n"] == chosen.sum()
    assert measured["mixed"]["accuracy"] == pytest.approx(np.mean(judged.labels[chosen] == judged.predicted[chosen]), abs=1e-6)


def test_means_over_classes_equal_scikit_learn_and_carry_intervals():
    judged = random_judgements()
    measured = measure(judged, Bootstrap(100, 0))
    of_classes = sk.roc_auc_score(judged.labels, judged.probabilities, multi_class="ovr", average=None)
    assert [each["auc"] for each in measured["per_class"].values()] == pytest.approx(of_classes, abs=1e-6)
    for mean in ("macro", "weighted"):
        expected = sk.roc_auc_score(judged.labels, judged.probabilities, multi_class="ovr", average=mean)
        assert measured[mean]["auc"] == pytest.approx(expected, abs=1e-6)
        assert set(measured[mean]["interval_95"]) == set(measured[mean]) - {"interval_95"}


def test_every_interval_holds_its_value_and_is_reproducible():
    first, second = (measure(random_judgements(), Bootstrap(200, 9)) for _ in range(2))
    assert json.dumps(first) == json.dumps(second)
    assert first["headline"]["interval_95"] != measure(random_judgements(), Bootstrap(200, 10))["headline"]["interval_95"]

    def check(level):
        for name, (low, high) in level.get("interval_95", {}).items():
            assert low <= level[name] <= high, name
        for value in level.values():
            if isinstance(value, dict) and value is not level.get("interval_95"):
                check(value)

    check({name: value for name, value in first.items() if isinstance(value, dict)})


def test_undefined_metrics_are_null_and_the_result_is_json():
    probabilities = np.array([[0.8, 0.1, 0.1], [0.7, 0.2, 0.1]])
    measured = measure(Judgements(np.array([0, 0]), probabilities, ("a", "a"), ("x", "y")), Bootstrap(20, 0))
    json.dumps(measured, allow_nan=False)
    assert measured["per_class"]["Tuberculosis"]["recall"] is None
    assert measured["headline"]["macro_auc"] is None
    assert measured["headline"]["interval_95"]["macro_auc"] == [None, None]
    assert measured["headline"]["accuracy"] == 1.0
