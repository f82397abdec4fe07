"""Accuracy, sensitivity, specificity, calibration and volume as Prometheus works them out, held to numpy and SciPy."""

import numpy as np
import pytest
from scipy.stats import binomtest

from service.model.findings import FINDINGS
from tests.support.promtool import assert_values, needs_promtool, series

pytestmark = needs_promtool

# Films by confirmed label (rows) and finding called (columns).
CONFUSION = np.array([[40, 7, 3], [9, 25, 1], [2, 0, 13]])


def labelled(confusion=CONFUSION, version="1.1.1"):
    return [
        series("cxr_feedback_total", f"0x59 {confusion[row, column]}", version=version, true=true.value, predicted=called.value)
        for row, true in enumerate(FINDINGS)
        for column, called in enumerate(FINDINGS)
    ]


def wilson(successes, films):
    interval = binomtest(int(successes), int(films)).proportion_ci(0.95, method="wilson")
    return {"": successes / films, "_lower": interval.low, "_upper": interval.high}


def test_accuracy_sensitivity_and_specificity_have_wilsons_bounds():
    expected = {"cxr:labels:7d": 100.0}
    expected |= {f"cxr:accuracy{side}:7d": float(value) for side, value in wilson(np.trace(CONFUSION), 100).items()}
    for index, finding in enumerate(FINDINGS):
        of_class, correct = CONFUSION[index].sum(), CONFUSION[index, index]
        others = 100 - of_class
        right = others - (CONFUSION[:, index].sum() - correct)
        for name, (successes, films) in {"sensitivity": (correct, of_class), "specificity": (right, others)}.items():
            for side, value in wilson(successes, films).items():
                expected[f'cxr:{name}{side}:7d{{true="{finding.value}"}}'] = float(value)
        expected[f'cxr:class_error:7d{{true="{finding.value}"}}'] = float(1 - correct / of_class)
    assert_values(labelled(), expected, "60m")


def test_without_labels_there_are_no_values_and_a_class_without_films_has_no_sensitivity():
    names = ("accuracy", "accuracy_lower", "sensitivity", "specificity", "class_error")
    assert_values(labelled(np.zeros((3, 3), int)), {f"cxr:{name}:7d": None for name in names}, "60m")
    no_tuberculosis = CONFUSION * np.array([[1], [1], [0]])
    expected = {'cxr:sensitivity:7d{true="Tuberculosis"}': None, 'cxr:specificity:7d{true="Tuberculosis"}': 1 - 4 / 85}
    assert_values(labelled(no_tuberculosis), expected, "60m")


@pytest.mark.long
def test_labels_of_a_week_ago_are_forgotten():
    inputs = [series("cxr_feedback_total", "0 80x2500", version="1.1.1", true="Normal", predicted="Normal")]
    assert_values(inputs, {"cxr:labels:7d": 80}, "6d", interval="5m")
    assert_values(inputs, {"cxr:labels:7d": 0, "cxr:accuracy:7d": None}, "8d", interval="5m")


def test_label_coverage_is_the_share_of_predictions_that_were_confirmed():
    predictions = [series("cxr_predictions_total", "0x59 400", version="1.1.1", finding="Normal")]
    assert_values(labelled() + predictions, {"cxr:label_coverage:7d": 0.25}, "60m")


def reliability(films, correct, confidence):
    """Series of the reliability bins. confidence: mean of each bin."""
    inputs = []
    for index, (number, right, mean) in enumerate(zip(films, correct, confidence, strict=True)):
        labels = {"version": "1.1.1", "bin": str(index)}
        inputs.append(series("cxr_feedback_bin_total", f"0x59 {number}", **labels))
        inputs.append(series("cxr_feedback_bin_correct_total", f"0x59 {right}", **labels))
        inputs.append(series("cxr_feedback_bin_confidence_total", f"0x59 {number * mean}", **labels))
    return inputs


@pytest.mark.parametrize("seed", range(5))
def test_calibration_error_and_slope_are_those_of_the_reliability_diagram(seed):
    rng = np.random.default_rng(seed)
    films = rng.integers(0, 80, 10)
    correct = rng.binomial(films, 0.7)
    confidence = (np.arange(10) + rng.random(10)) / 10
    used = films > 0
    n, x, y = films[used], confidence[used], correct[used] / films[used]
    slope = np.polyfit(x, y, 1, w=np.sqrt(n))[0]
    spread = (n * (x - np.average(x, weights=n)) ** 2).sum()
    smoothed = (correct[used] + 1) / (n + 2)
    error = np.sqrt((n * (x - np.average(x, weights=n)) ** 2 * smoothed * (1 - smoothed)).sum()) / spread
    expected = {
        "cxr:ece:7d": float((n * abs(y - x)).sum() / n.sum()),
        "cxr:reliability_slope:7d": float(slope),
        "cxr:reliability_slope_error:7d": float(error),
    }
    assert_values(reliability(films, correct, confidence), expected, "60m")


def test_one_bin_has_a_calibration_error_and_no_slope():
    films = [0] * 9 + [50]
    inputs = reliability(films, [0] * 9 + [45], [0.95] * 10)
    assert_values(inputs, {"cxr:ece:7d": 0.05, "cxr:reliability_slope:7d": None}, "60m")


def test_the_slope_error_is_the_spread_of_slopes_over_samples():
    """The formula that the rules use, against 3000 samples of a calibrated model."""
    rng = np.random.default_rng(1)
    n, x = np.array([20, 40, 60, 200]), np.array([0.55, 0.65, 0.75, 0.9])
    samples = rng.binomial(n, x, (3000, 4)) / n
    slopes = [np.polyfit(x, sample, 1, w=np.sqrt(n))[0] for sample in samples]
    offset = x - np.average(x, weights=n)
    smoothed = (samples * n + 1) / (n + 2)
    errors = np.sqrt((n * offset**2 * smoothed * (1 - smoothed)).sum(axis=1)) / (n * offset**2).sum()
    assert np.median(errors) == pytest.approx(np.std(slopes), rel=0.1)


def test_server_errors_are_a_share_of_the_requests_of_the_api_alone():
    inputs = [
        series("cxr_request_seconds_count", "0+97x20", endpoint="/predict", status="200"),
        series("cxr_request_seconds_count", "0+3x20", endpoint="/predict", status="503"),
        series("cxr_request_seconds_count", "0+900x20", endpoint="/readyz", status="503"),
    ]
    assert_values(inputs, {"cxr:server_errors:ratio5m": 0.03}, "20m")
    assert_values(inputs[:1], {"cxr:server_errors:ratio5m": 0.0}, "20m")


def test_latencies_are_interpolated_within_their_buckets():
    counts = {"0.1": 50, "0.25": 90, "0.5": 100, "+Inf": 100}
    inputs = [
        series("cxr_request_seconds_bucket", f"0+{count}x20", endpoint="/predict", status="200", le=bound)
        for bound, count in counts.items()
    ]
    expected = {"cxr:latency_p50:5m": 0.1, "cxr:latency_p95:5m": 0.375, "cxr:latency_p99:5m": 0.475}
    assert_values(inputs, expected, "20m")
