"""Every Prometheus metric of the service, defined once."""

from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter

from prometheus_client import (
    GC_COLLECTOR,
    PLATFORM_COLLECTOR,
    PROCESS_COLLECTOR,
    REGISTRY,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    values,
)

from service.model.decision import ReviewReason
from service.model.findings import FINDINGS
from service.model.model import Model, Prediction
from service.model.site_profile import Site

# BentoML makes prometheus_client keep its values in files, which all of a user's servers share. One process serves here, so
# memory will do. Set before the metrics below are created: each takes its class of values from here.
values.ValueClass = values.MutexValue
# Only what is defined here is published, nothing of the interpreter.
disable_created_metrics()  # type: ignore[no-untyped-call]
for collector in (GC_COLLECTOR, PLATFORM_COLLECTOR, PROCESS_COLLECTOR):
    REGISTRY.unregister(collector)

# A small film decodes in about 1 ms, a large one in 100 ms; the first explanation waits for PyTorch.
STAGE_BUCKETS_SECONDS = (0.0005, 0.001, 0.002, 0.004, 0.006, 0.008, 0.01, 0.015, 0.02, 0.03, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)

# Whole requests; REPORT Table 29 alerts at a 95th percentile of 0.5 s.
REQUEST_BUCKETS_SECONDS = (0.005, 0.01, 0.015, 0.02, 0.03, 0.04, 0.06, 0.08, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

STAGE_SECONDS = Histogram(
    "cxr_stage_seconds",
    "Time spent in one stage of answering for one film, in seconds; read is per request.",
    labelnames=["stage"],
    buckets=STAGE_BUCKETS_SECONDS,
)

# BentoML's own metrics are off: they use the request's path as a label, so that made-up paths would fill the memory.
REQUEST_SECONDS = Histogram(
    "cxr_request_seconds",
    "Time from a request's head to the last byte of its answer, in seconds.",
    labelnames=["endpoint", "status"],
    buckets=REQUEST_BUCKETS_SECONDS,
)

IN_FLIGHT = Gauge("cxr_requests_in_flight", "Requests being answered now.")

QUEUE_DEPTH = Gauge("cxr_queue_depth", "Films that wait for a thread, or still arrive while all threads are taken.")

QUEUE_LIMIT = Gauge("cxr_queue_limit", "Films that may wait; the next is refused.")

REJECTIONS = Counter(
    "cxr_rejections_total",
    "Films and requests refused, by the kind of problem.",
    labelnames=["problem"],
)

FALLBACKS = Counter("cxr_model_fallbacks_total", "Bundles that could not be trusted, and profiles that could not be applied.")

FALLBACK_IN_USE = Gauge("cxr_model_fallback_in_use", "1 while another bundle or profile serves than the chosen one.")

RELOADS = Counter(
    "cxr_model_reloads_total", "Reloads asked for, by outcome: swapped, unchanged or fallback.", labelnames=["outcome"]
)

# What judged a film: the bundle's version, and the site profile as name-version, empty without one. Every count has both,
# because confirmed labels may arrive after a reload, and replicas may serve different models.
MODEL_LABELS = ("version", "site")

MODEL_INFO = Gauge("cxr_model_info", "1 for the version and the site profile that serve.", labelnames=MODEL_LABELS)

PREDICTIONS = Counter("cxr_predictions_total", "Films judged, by the finding called.", labelnames=[*MODEL_LABELS, "finding"])

# The largest of three probabilities is at least a third; most lie near 1.
CONFIDENCE = Histogram(
    "cxr_confidence",
    "Largest calibrated probability of a film, 0 to 1.",
    labelnames=MODEL_LABELS,
    buckets=(0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.98, 0.99, 1.0),
)

FILMS_FOR_REVIEW = Counter("cxr_films_for_review_total", "Films that a person must look at.", labelnames=MODEL_LABELS)

REVIEW_REASONS = Counter(
    "cxr_reviews_total",
    "Reasons why a person must look at a film; a film may have several.",
    labelnames=[*MODEL_LABELS, "reason"],
)

DRIFT_BIN = Counter(
    "cxr_drift_bin_total",
    "Films by the bin of a feature; bins are those of the reference of that version and site profile.",
    labelnames=[*MODEL_LABELS, "feature", "bin"],
)

DRIFT_OUT_OF_RANGE = Counter(
    "cxr_drift_out_of_range_total",
    "Films whose feature is smaller or larger than any film's of the reference.",
    labelnames=[*MODEL_LABELS, "feature"],
)

DRIFT_REFERENCE_SHARE = Gauge(
    "cxr_drift_reference_share",
    "Share of the reference films in a bin.",
    labelnames=[*MODEL_LABELS, "feature", "bin"],
)

DRIFT_REFERENCE_FILMS = Gauge(
    "cxr_drift_reference_films",
    "Films that the reference of a feature was measured on.",
    labelnames=[*MODEL_LABELS, "feature"],
)

REFERENCE_ACCURACY = Gauge(
    "cxr_reference_accuracy",
    "Accuracy to expect: at the acceptance of the site profile, else on the test split, as the bundle states it.",
    labelnames=MODEL_LABELS,
)

FEEDBACK = Counter(
    "cxr_feedback_total",
    "Films whose label was confirmed, by that label and the finding called.",
    labelnames=[*MODEL_LABELS, "true", "predicted"],
)

FEEDBACK_BINS = 10

FEEDBACK_BIN = Counter(
    "cxr_feedback_bin_total",
    "Films whose label was confirmed, by tenth of the confidence in the call.",
    labelnames=[*MODEL_LABELS, "bin"],
)

FEEDBACK_BIN_CORRECT = Counter(
    "cxr_feedback_bin_correct_total",
    "Films of cxr_feedback_bin_total whose finding was called right.",
    labelnames=[*MODEL_LABELS, "bin"],
)

FEEDBACK_BIN_CONFIDENCE = Counter(
    "cxr_feedback_bin_confidence_total",
    "Sum of the confidence of the films of cxr_feedback_bin_total.",
    labelnames=[*MODEL_LABELS, "bin"],
)

CORRECTIONS = Counter(
    "cxr_feedback_corrections_total",
    "Labels that replaced another label of their film; cxr_feedback_total counts the first one only.",
    labelnames=MODEL_LABELS,
)

INCIDENTS = Counter("cxr_incidents_total", "Misdiagnoses reported.", labelnames=MODEL_LABELS)


def model_labels(version: str, site: Site | str | None) -> tuple[str, str]:
    """Values of MODEL_LABELS. site: the profile that answered, or its text on record; None for none."""
    return version, "" if site is None else str(site)


def begin_counting(model: Model) -> None:
    """Create every series of a model at zero, so that Prometheus counts the first film of each as an increase."""
    labels = model_labels(model.manifest.version, model.site)
    FILMS_FOR_REVIEW.labels(*labels)
    INCIDENTS.labels(*labels)
    CORRECTIONS.labels(*labels)
    CONFIDENCE.labels(*labels)
    for finding in FINDINGS:
        PREDICTIONS.labels(*labels, finding)
        for predicted in FINDINGS:
            FEEDBACK.labels(*labels, finding, predicted)
    for reason in ReviewReason:
        REVIEW_REASONS.labels(*labels, reason)
    for index in range(FEEDBACK_BINS):
        for counter in (FEEDBACK_BIN, FEEDBACK_BIN_CORRECT, FEEDBACK_BIN_CONFIDENCE):
            counter.labels(*labels, str(index))
    accuracy = _expected_accuracy(model)
    if accuracy is not None:
        REFERENCE_ACCURACY.labels(*labels).set(accuracy)


def _expected_accuracy(model: Model) -> float | None:
    accuracy = None if model.profile is None else model.profile.manifest.accuracy
    return model.manifest.test_metrics.get("headline", {}).get("accuracy") if accuracy is None else accuracy


def count_prediction(prediction: Prediction) -> None:
    """Count one judged film."""
    labels = model_labels(prediction.model_version, prediction.site)
    PREDICTIONS.labels(*labels, prediction.finding).inc()
    CONFIDENCE.labels(*labels).observe(max(prediction.probabilities.values()))
    for reason in prediction.review_reasons:
        REVIEW_REASONS.labels(*labels, reason).inc()
    if prediction.review_required:
        FILMS_FOR_REVIEW.labels(*labels).inc()


def count_feedback(model: tuple[str, str], label: str, predicted: str, confidence: float) -> None:
    """Count one confirmed label. model: values of MODEL_LABELS. confidence: probability of the predicted finding, 0..1."""
    FEEDBACK.labels(*model, label, predicted).inc()
    bin_index = str(min(int(confidence * FEEDBACK_BINS), FEEDBACK_BINS - 1))
    FEEDBACK_BIN.labels(*model, bin_index).inc()
    FEEDBACK_BIN_CONFIDENCE.labels(*model, bin_index).inc(confidence)
    if label == predicted:
        FEEDBACK_BIN_CORRECT.labels(*model, bin_index).inc()


@contextmanager
def stage_timer(stage: str) -> Iterator[None]:
    """Observe the time of the enclosed stage: decode, preprocess, infer, observe or explain; not if it raises."""
    start = perf_counter()
    yield
    STAGE_SECONDS.labels(stage).observe(perf_counter() - start)
