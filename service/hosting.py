"""Which model serves: the chosen one, or the one before it if that cannot be trusted; and how one takes over from another."""

import logging
import threading
from dataclasses import dataclass
from time import monotonic
from typing import Any

from service.drift import DriftCounter
from service.errors import ModelUnavailable, ReloadInProgress
from service.film.errors import kebab_case
from service.film.limits import DecodeLimits
from service.metrics import FALLBACK_IN_USE, FALLBACKS, MODEL_INFO, RELOADS, begin_counting
from service.model.decision import ReviewReason
from service.model.errors import BundleError
from service.model.findings import FINDINGS
from service.model.loading import candidates, load_predictor
from service.model.manifest import ModelBundle
from service.model.observer import Observer
from service.pipeline import Pipeline
from service.sandbox.decoder import SandboxedDecoder
from service.settings import Settings

logger = logging.getLogger(__name__)

# A proof that the model infers holds this long; probes come every few seconds, and requests prove it as well.
PROOF_SECONDS = 5.0


@dataclass(frozen=True)
class ReloadOutcome:
    """outcome: "swapped", "unchanged", or "fallback" if what was chosen cannot be trusted. Versions: served before and now."""

    outcome: str
    previous_version: str | None
    model_version: str | None
    fallback_in_use: bool


@dataclass(frozen=True)
class _Served:
    """One state of the host, replaced as a whole. fault: why the chosen bundle is not the one that serves, if so."""

    pipeline: Pipeline | None
    fault: BundleError | None


class ModelHost:
    """Holds the model that serves. A request takes `pipeline` once and ends on it, whatever comes after."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._limits = DecodeLimits(max_pixels=settings.max_pixels)
        self._sandbox = SandboxedDecoder(self._limits)
        self._proven_at = float("-inf")
        self._reloading = threading.Lock()
        self._served = _Served(None, None)
        self._take_over(self._load(serving=None))

    @property
    def pipeline(self) -> Pipeline | None:
        """The model that serves; None if none can be trusted."""
        return self._served.pipeline

    def close(self) -> None:
        """End the processes that decode."""
        self._sandbox.close()

    def health(self) -> dict[str, Any]:
        """Body of /health. Messages of faults stay in the log: they name folders of this machine."""
        served = self._served
        body = {
            "status": "unavailable" if served.pipeline is None else "ok",
            "model_version": None if served.pipeline is None else served.pipeline.manifest.version,
            "fallback_in_use": served.pipeline is not None and served.fault is not None,
        }
        if served.fault is None:
            return body
        return body | {"reason": kebab_case(type(served.fault).__name__), "detail": type(served.fault).__doc__}

    def prove_inference(self) -> None:
        """Run a golden input through the model that serves, unless that was done a moment ago.

        Raises ModelUnavailable, or GoldenMismatch.
        """
        pipeline = self._served.pipeline
        if pipeline is None:
            raise ModelUnavailable("No trusted model is loaded; /health says why.")
        if monotonic() - self._proven_at > PROOF_SECONDS:
            pipeline.prove()
            self._proven_at = monotonic()

    def reload(self) -> ReloadOutcome:
        """Choose again, as at the start, and take over from what serves now if that is another bundle.

        Where the chosen bundle cannot be trusted, the model that serves goes on: it is proven, and any other would be one that
        nobody chose. Blocks for the seconds that loading takes.
        Raises ReloadInProgress.
        """
        if not self._reloading.acquire(blocking=False):
            raise ReloadInProgress("The model is being loaded already; ask again in some seconds.")
        try:
            before = self._served
            self._take_over(self._load(before.pipeline))
        finally:
            self._reloading.release()
        now = self._served
        is_same = now.pipeline is before.pipeline
        outcome = "fallback" if now.fault is not None else "unchanged" if is_same else "swapped"
        RELOADS.labels(outcome).inc()
        return ReloadOutcome(outcome, _version(before), _version(now), now.pipeline is not None and now.fault is not None)

    def _load(self, serving: Pipeline | None) -> _Served:
        """The first bundle that can be trusted. serving: is kept if the chosen one is the same, or cannot be trusted."""
        fault: BundleError | None = None
        try:
            paths = candidates(self._settings.bundle)
        except BundleError as unknown:
            logger.exception("No bundle can be chosen")
            return _Served(serving, unknown)
        for path in paths:
            try:
                bundle = ModelBundle.open(path)
                if serving is not None and bundle.manifest == serving.manifest:
                    return _Served(serving, fault)
                pipeline = self._build(bundle)
            except BundleError as untrusted:
                logger.exception("%s cannot be served", path)
                FALLBACKS.inc()
                fault = fault or untrusted
                if serving is not None:
                    return _Served(serving, fault)
                continue
            logger.info("Serving %s %s from %s", bundle.manifest.name, bundle.manifest.version, bundle.path)
            return _Served(pipeline, fault)
        logger.error("No model is served")
        return _Served(None, fault)

    def _build(self, bundle: ModelBundle) -> Pipeline:
        predictor = load_predictor(bundle, self._settings.ort_threads_per_session)
        observer = Observer.from_bundle(bundle)
        components = None if observer.statistics is None else observer.statistics.components
        drift = DriftCounter.from_bundle(bundle, components)
        accuracy = bundle.manifest.test_metrics.get("headline", {}).get("accuracy")
        begin_counting(bundle.manifest.version, FINDINGS, tuple(ReviewReason), accuracy)
        return Pipeline(bundle, predictor, observer, self._limits, self._sandbox, drift)

    def _take_over(self, served: _Served) -> None:
        before, now = _version(self._served), _version(served)
        self._served = served
        FALLBACK_IN_USE.set(self.health()["fallback_in_use"])
        for version in {before, now} - {None}:
            MODEL_INFO.labels(version).set(version == now)


def _version(served: _Served) -> str | None:
    return None if served.pipeline is None else served.pipeline.manifest.version
