"""Every Prometheus metric, defined once; /metrics sums them over processes."""

from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter

from prometheus_client import Counter, Gauge, Histogram

# A small film takes about a millisecond to decode, a large one a hundred; the first explanation waits for PyTorch.
STAGE_BUCKETS_SECONDS = (0.0005, 0.001, 0.002, 0.004, 0.006, 0.008, 0.01, 0.015, 0.02, 0.03, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)

# Whole requests: the report alerts at a 95th percentile of 0.5 s.
REQUEST_BUCKETS_SECONDS = (0.005, 0.01, 0.015, 0.02, 0.03, 0.04, 0.06, 0.08, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

STAGE_SECONDS = Histogram(
    "cxr_stage_seconds",
    "Time spent in one stage of answering for one film, in seconds; read is per request.",
    labelnames=["stage"],
    buckets=STAGE_BUCKETS_SECONDS,
)

# BentoML's own are off: they take the path as it was sent for a label, so that a stranger's paths would fill the memory.
REQUEST_SECONDS = Histogram(
    "cxr_request_seconds",
    "Time from a request's head to the last byte of its answer, in seconds.",
    labelnames=["endpoint", "status"],
    buckets=REQUEST_BUCKETS_SECONDS,
)

IN_FLIGHT = Gauge("cxr_requests_in_flight", "Requests being answered now.", multiprocess_mode="livesum")

REJECTIONS = Counter(
    "cxr_rejections_total",
    "Films and requests refused, by the kind of problem.",
    labelnames=["problem"],
)

FALLBACKS = Counter("cxr_model_fallbacks_total", "Bundles that were tried and could not be trusted.")

FALLBACK_IN_USE = Gauge(
    "cxr_model_fallback_in_use", "1 while an older model serves than the chosen one.", multiprocess_mode="livemax"
)

RELOADS = Counter(
    "cxr_model_reloads_total", "Reloads asked for, by outcome: swapped, unchanged or fallback.", labelnames=["outcome"]
)

# prometheus_client's Info is not for several processes.
MODEL_INFO = Gauge(
    "cxr_model_info", "1 for the version of the model that serves.", labelnames=["version"], multiprocess_mode="livemax"
)


@contextmanager
def stage_timer(stage: str) -> Iterator[None]:
    """Observe the time of the enclosed stage: decode, preprocess, infer, observe or explain. One that raises is not."""
    start = perf_counter()
    yield
    STAGE_SECONDS.labels(stage).observe(perf_counter() - start)
