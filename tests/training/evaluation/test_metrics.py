"""The figures of an evaluation, held against scikit-learn and closed forms."""

import json

import numpy as np
import pytest
from sklearn import metrics as sk

from training.evaluation.measures.bootstrap import bootstrap_intervals, centred_interval, group_weights
from training.evaluation.measures.calibration import (
    brier_score,
    equal_mass_ece,
    expected_calibration_error,
    log_loss,
    one_vs_rest_ece,
    reliability_bins,
    top_label_ece,
)
from training.evaluation.measures.confusion import ConfusionMatrix
from training.evaluation.measures.discrimination import auc, one_vs_rest_auc, pair_auc
from training.evaluation.measures.metrics import Judgements, measure


def random_judgements(n: int = 240, seed: int = 3) -> Judgements:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, n)
    logits = rng.normal(0, 1, (n, 3)) + 1.2 * np.eye(3)[labels]
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    sources = tuple(np.where(labels == 1, "clinic", np.where(np.arange(n) % 2 == 0, "mixed", "clinic")))
    return Judgements(labels, probabilities, sources, tuple(f"patient-{i // 2}" for i in range(n)))


def test_counts_based_figures_equal_scikit_learn():
    judged = random_judgements()
    matrix = judged.confusion
    precision, recall, f1, support = sk.precision_recall_fscore_support(judged.labels, judged.predicted)
    np.testing.assert_array_equal(matrix.counts, sk.confusion_matrix(judged.labels, judged.predicted))
    np.testing.assert_allclose(matrix.precision, precision)
    np.testing.assert_allclose(matrix.recall, recall)
    np.testing.assert_allclose(matrix.f1, f1)
    np.testing.assert_array_equal(matrix.support, support)
    np.testing.assert_allclose(matrix.accuracy, sk.accuracy_score(judged.labels, judged.predicted))
    for average in ("macro", "weighted"):
        mean = getattr(matrix, average)
        expected = sk.precision_recall_fscore_support(judged.labels, judged.predicted, average=average)[:3]
        np.testing.assert_allclose([mean(matrix.precision), mean(matrix.recall), mean(matrix.f1)], expected)
    for index in range(3):
        as_other = sk.recall_score(judged.labels != index, judged.predicted != index)
        np.testing.assert_allclose(matrix.specificity[index], as_other)


def test_weights_act_as_repeated_films():
    judged = random_judgements(60)
    repeats = np.random.default_rng(0).integers(0, 3, 60)
    weighted = ConfusionMatrix.of(judged.labels, judged.predicted, 3, repeats[None].astype(float))
    repeated = ConfusionMatrix.of(np.repeat(judged.labels, repeats), np.repeat(judged.predicted, repeats), 3)
    np.testing.assert_array_equal(weighted.counts[0], repeated.counts)


def test_precision_of_a_present_class_never_called_is_zero_and_absent_class_is_undefined():
    matrix = ConfusionMatrix.of(np.array([0, 1, 1]), np.array([0, 0, 0]), 3)
    np.testing.assert_array_equal(matrix.precision, [1 / 3, 0.0, np.nan])
    np.testing.assert_array_equal(matrix.recall, [1.0, 0.0, np.nan])
    assert matrix.macro(matrix.recall) == 0.5
    stray = ConfusionMatrix.of(np.repeat([0, 1], 50), np.r_[np.repeat([0, 1], 50)[:-1], 2], 3)
    assert stray.macro(stray.f1) == pytest.approx((1 + 98 / 99) / 2), "a class without films is no part of the question"
    alone = ConfusionMatrix.of(np.zeros(3, int), np.zeros(3, int), 3)
    assert np.isnan(alone.weighted(alone.specificity)), "undefined is not zero"


def test_auc_counts_ties_half_and_equals_scikit_learn_with_weights():
    rng = np.random.default_rng(1)
    positive = rng.random(300) < 0.4
    scores = np.round(rng.random(300) + 0.3 * positive, 1)
    weights = rng.integers(0, 4, (5, 300)).astype(float)
    expected = [sk.roc_auc_score(positive, scores, sample_weight=row) for row in weights]
    np.testing.assert_allclose(auc(positive, scores, weights), expected)
    assert auc(np.array([True, False]), np.array([0.5, 0.5])) == 0.5
    assert auc(np.array([True, True, False]), np.array([0.9, 0.2, 0.2])) == 0.75
    assert np.isnan(auc(np.array([True, True]), np.array([0.1, 0.2])))


def test_one_vs_rest_auc_equals_scikit_learn():
    judged = random_judgements()
    expected = sk.roc_auc_score(judged.labels, judged.probabilities, multi_class="ovr", average=None)
    np.testing.assert_allclose(one_vs_rest_auc(judged.labels, judged.probabilities), expected)


def test_pair_auc_ignores_the_third_class_in_films_and_in_scores():
    labels = np.array([0, 0, 2, 2, 1])
    probabilities = np.array([[0.08, 0.9, 0.02], [0.6, 0.1, 0.3], [0.02, 0.9, 0.08], [0.3, 0.1, 0.6], [0.0, 0.0, 1.0]])
    assert pair_auc(labels, probabilities, positive=2, negative=0) == 1.0
    assert auc(labels[:4] == 2, probabilities[:4, 2]) == 0.75


def test_ece_of_a_constructed_case():
    # Bin of 0.9: claims 0.9, is right 6 of 10 (gap 0.3); bin of 0.25: claims 0.25, happens 3 of 5 (gap 0.35).
    confidence = np.r_[np.full(10, 0.9), np.full(5, 0.25)]
    events = np.r_[np.arange(10) < 6, np.arange(5) < 3]
    assert expected_calibration_error(events, confidence) == pytest.approx((10 * 0.3 + 5 * 0.35) / 15)
    bins = reliability_bins(events, confidence)
    assert bins.count.sum() == 15
    assert bins.observed[13] == pytest.approx(0.6)
    assert bins.mean_confidence[3] == pytest.approx(0.25)
    assert np.isnan(bins.observed[0])


def test_ece_is_zero_when_claims_come_true_and_one_when_they_never_do():
    certain = np.ones(4)
    assert expected_calibration_error(np.ones(4, bool), certain) == 0.0
    assert expected_calibration_error(np.zeros(4, bool), certain) == 1.0


def test_gaps_of_opposite_sign_in_one_bin_cancel_but_in_two_bins_add():
    assert expected_calibration_error(np.array([True, False]), np.array([0.5, 0.5])) == 0.0
    assert expected_calibration_error(np.array([True, False]), np.array([0.4, 0.6])) == pytest.approx(0.6)


def test_equal_mass_ece_of_a_constructed_case():
    # Three bins of two films: claims 0.1, happens 1/2; claims 0.25, happens 0; claims 0.8, happens 1.
    confidence = np.array([0.9, 0.05, 0.2, 0.15, 0.7, 0.3])
    events = np.array([True, True, False, False, True, False])
    assert equal_mass_ece(events, confidence, bins=3) == pytest.approx((0.4 + 0.25 + 0.2) / 3)
    # Equal width puts five of the six films elsewhere: {0.05, 0.15, 0.2, 0.3}, {}, {0.7, 0.9}.
    assert expected_calibration_error(events, confidence, bins=3) == pytest.approx((4 * abs(0.175 - 0.25) + 2 * 0.2) / 6)


def test_films_of_equal_confidence_share_a_bin_in_whatever_order_they_come():
    confidence, events = np.r_[np.full(6, 0.5), 0.9, 0.9], np.arange(8) % 2 == 0
    expected = (6 * abs(0.5 - events[:6].mean()) + 2 * abs(0.9 - events[6:].mean())) / 8
    rng = np.random.default_rng(0)
    for order in (np.arange(8), rng.permutation(8), rng.permutation(8)):
        assert equal_mass_ece(events[order], confidence[order], bins=4) == pytest.approx(expected)


def test_weights_act_as_repeated_films_in_calibration_too():
    judged = random_judgements(90)
    repeats = np.random.default_rng(0).integers(0, 3, 90)
    labels, probabilities = np.repeat(judged.labels, repeats), np.repeat(judged.probabilities, repeats, axis=0)
    weighted = one_vs_rest_ece(judged.labels, judged.probabilities, repeats[None].astype(float))
    np.testing.assert_allclose(weighted[0], one_vs_rest_ece(labels, probabilities))
    equal_mass = one_vs_rest_ece(judged.labels, judged.probabilities, np.full((2, 90), 3.0), equal_mass_ece)
    np.testing.assert_allclose(equal_mass[1], one_vs_rest_ece(judged.labels, judged.probabilities, error=equal_mass_ece))


def test_brier_and_log_loss_equal_scikit_learn_and_closed_forms():
    judged = random_judgements()
    assert log_loss(judged.labels, judged.probabilities) == pytest.approx(sk.log_loss(judged.labels, judged.probabilities))
    parts = [sk.brier_score_loss(judged.labels == c, judged.probabilities[:, c]) for c in range(3)]
    assert brier_score(judged.labels, judged.probabilities) == pytest.approx(sum(parts))
    uniform = np.full((6, 3), 1 / 3)
    assert log_loss(np.arange(6) % 3, uniform) == pytest.approx(np.log(3))
    assert brier_score(np.arange(6) % 3, uniform) == pytest.approx(2 / 3)
    assert top_label_ece(np.zeros(6, int), np.tile([0.8, 0.1, 0.1], (6, 1))) == pytest.approx(0.2)


def test_bootstrap_of_a_proportion_matches_the_binomial_error():
    correct = np.arange(400) < 320
    groups = [str(i) for i in range(400)]
    values, intervals = bootstrap_intervals(lambda w: {("share",): w @ correct / w.sum(axis=1)}, groups, resamples=2000, seed=0)
    low, high = intervals["share",]
    standard_error = np.sqrt(0.8 * 0.2 / 400)
    assert values["share",] == 0.8
    assert low == pytest.approx(0.8 - 1.96 * standard_error, abs=0.005)
    assert high == pytest.approx(0.8 + 1.96 * standard_error, abs=0.005)


def test_bootstrap_covers_the_true_value_as_often_as_it_says():
    rng = np.random.default_rng(5)
    groups = [str(i) for i in range(120)]
    covered = 0
    for trial in range(200):
        correct = rng.random(120) < 0.75
        share = lambda w, c=correct: {("share",): w @ c / w.sum(axis=1)}  # noqa: E731
        low, high = bootstrap_intervals(share, groups, resamples=300, seed=trial)[1]["share",]
        covered += low <= 0.75 <= high
    assert 0.90 <= covered / 200 <= 0.99


def test_bootstrap_of_a_mean_over_patients_covers_the_true_mean_as_often_as_it_says():
    # Three films a patient share most of their value: the interval must follow the patients, not the films.
    rng = np.random.default_rng(6)
    groups = [str(i // 3) for i in range(240)]
    covered = {"patients": 0, "films": 0}
    for trial in range(200):
        values = np.repeat(rng.normal(1.0, 0.5, 80), 3) + rng.normal(0, 0.1, 240)
        mean = lambda w, v=values: {("mean",): w @ v / w.sum(axis=1)}  # noqa: E731
        for name, units in (("patients", groups), ("films", [str(i) for i in range(240)])):
            low, high = bootstrap_intervals(mean, units, resamples=200, seed=trial)[1]["mean",]
            covered[name] += low <= 1.0 <= high
    assert 0.90 <= covered["patients"] / 200 <= 0.99
    assert covered["films"] / 200 < 0.85


def test_films_of_one_group_are_drawn_together():
    weights = np.concatenate(list(group_weights(["a", "a", "b", "c", "c", "c"], 250, seed=1)))
    assert weights.shape == (250, 6)
    np.testing.assert_array_equal(weights[:, 0], weights[:, 1])
    np.testing.assert_array_equal(weights[:, 3], weights[:, 5])
    np.testing.assert_array_equal(weights[:, [0, 2, 3]].sum(axis=1), 3)


def test_dependent_films_widen_the_interval():
    correct = np.repeat(np.arange(50) < 35, 8)
    share = lambda w: {("share",): w @ correct / w.sum(axis=1)}  # noqa: E731
    alone = bootstrap_intervals(share, [str(i) for i in range(400)], resamples=1000, seed=0)[1]["share",]
    grouped = bootstrap_intervals(share, [str(i // 8) for i in range(400)], resamples=1000, seed=0)[1]["share",]
    assert grouped[1] - grouped[0] > 2 * (alone[1] - alone[0])


def test_centring_keeps_the_estimate_inside_when_resampling_inflates_it():
    low, high = centred_interval(1.0, np.linspace(1.05, 1.45, 1001))
    assert (low, high) == (pytest.approx(0.81), pytest.approx(1.19))
    assert centred_interval(0.01, np.linspace(0.1, 0.5, 101))[0] == 0.0
    assert centred_interval(1.0, np.r_[0.8, 0.9, 0.95, 1.0])[1] == 1.0
    assert np.isnan(centred_interval(0.5, np.full(50, np.nan))).all()


def test_measure_derives_every_count_from_the_one_matrix():
    measured = measure(random_judgements(), resamples=50)
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
    measured = measure(judged, resamples=50)["per_source"]
    assert set(measured) == {"clinic", "mixed"}
    assert set(measured["mixed"]["recall"]) - {"interval_95"} == {"Normal", "Tuberculosis"}
    assert set(measured["mixed"]["auc"]) - {"interval_95"} == {"Tuberculosis vs Normal"}
    assert len(set(measured["clinic"]["auc"]) - {"interval_95"}) == 3
    chosen = judged.of_source("mixed")
    assert measured["mixed"]["n"] == chosen.sum()
    assert measured["mixed"]["accuracy"] == pytest.approx(np.mean(judged.labels[chosen] == judged.predicted[chosen]), abs=1e-6)


def test_classes_within_a_source_equal_scikit_learn_and_are_undefined_without_others():
    judged = random_judgements()
    chosen = judged.of_source("mixed")
    labels, predicted, probabilities = judged.labels[chosen], judged.predicted[chosen], judged.probabilities[chosen]
    of_class = measure(judged, resamples=50)["per_source_and_class"]["mixed"]
    assert set(of_class) == {"Normal", "Tuberculosis"}
    tuberculosis = of_class["Tuberculosis"]
    assert tuberculosis["support"] == np.sum(labels == 2)
    assert tuberculosis["precision"] == pytest.approx(sk.precision_score(labels == 2, predicted == 2), abs=1e-6)
    assert tuberculosis["recall"] == pytest.approx(sk.recall_score(labels == 2, predicted == 2), abs=1e-6)
    assert tuberculosis["f1"] == pytest.approx(sk.f1_score(labels == 2, predicted == 2), abs=1e-6)
    assert tuberculosis["specificity"] == pytest.approx(sk.recall_score(labels != 2, predicted != 2), abs=1e-6)
    assert tuberculosis["auc"] == pytest.approx(sk.roc_auc_score(labels == 2, probabilities[:, 2]), abs=1e-6)
    alone = Judgements(judged.labels, judged.probabilities, tuple(f"only-{label}" for label in judged.labels), judged.groups)
    assert set(measure(alone, resamples=20)["per_source_and_class"]["only-2"]["Tuberculosis"]) == {
        "support", "recall", "interval_95",
    }  # fmt: skip


def test_means_over_classes_equal_scikit_learn_and_carry_intervals():
    judged = random_judgements()
    measured = measure(judged, resamples=100)
    for mean in ("macro", "weighted"):
        expected = sk.roc_auc_score(judged.labels, judged.probabilities, multi_class="ovr", average=mean)
        assert measured[mean]["auc"] == pytest.approx(expected, abs=1e-6)
        one_hot = np.eye(3)[judged.labels]
        expected = sk.average_precision_score(one_hot, judged.probabilities, average=mean)
        assert measured[mean]["average_precision"] == pytest.approx(expected, abs=1e-6)
        assert set(measured[mean]["interval_95"]) == set(measured[mean]) - {"interval_95"}


def test_every_interval_holds_its_value_and_is_reproducible():
    first, second = (measure(random_judgements(), resamples=200, seed=9) for _ in range(2))
    assert json.dumps(first) == json.dumps(second)
    assert first["headline"]["interval_95"] != measure(random_judgements(), resamples=200, seed=10)["headline"]["interval_95"]

    def check(level):
        for name, (low, high) in level.get("interval_95", {}).items():
            assert low <= level[name] <= high, name
        for value in level.values():
            if isinstance(value, dict) and value is not level.get("interval_95"):
                check(value)

    check({name: value for name, value in first.items() if isinstance(value, dict)})


def test_undefined_figures_are_null_and_the_result_is_json():
    probabilities = np.array([[0.8, 0.1, 0.1], [0.7, 0.2, 0.1]])
    measured = measure(Judgements(np.array([0, 0]), probabilities, ("a", "a"), ("x", "y")), resamples=20)
    json.dumps(measured, allow_nan=False)
    assert measured["per_class"]["Tuberculosis"]["recall"] is None
    assert measured["headline"]["macro_auc"] is None
    assert measured["headline"]["interval_95"]["macro_auc"] == [None, None]
    assert measured["headline"]["accuracy"] == 1.0


def test_judgements_of_unequal_length_are_refused():
    with pytest.raises(ValueError, match="2 labels need probabilities"):
        Judgements(np.array([0, 1]), np.zeros((3, 3)), ("a", "a"), ("x", "y"))
