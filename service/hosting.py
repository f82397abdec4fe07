"""Selects the bundle to serve, falls back to the previous one if verification fails, and swaps bundles on reload."""

import logging
import threading
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

from service.drift import DriftCounter
from service.errors import ModelUnavailable, ReloadInProgress
from service.film.errors import kebab_case
from service.film.limits import DecodeLimits
from service.metrics import FALLBACK_IN_USE, FALLBACKS, MODEL_INFO, RELOADS, begin_counting, stage_timer
from service.model.bundle import ModelBundle
from service.model.errors import BundleError
from service.model.model import Model
from service.model.releases import candidates, first_trusted
from service.pipeline import Pipeline
from service.sandbox.decoder import SandboxedDecoder
from service.settings import Settings

logger = logging.getLogger(__name__)

# Readiness probes come every few seconds; they run the model at most this often.
PROOF_SECONDS = 5.0


@dataclass(frozen=True)
class ReloadOutcome:
    """Result of a reload."""

    outcome: str  # "swapped", "unchanged", or "fallback" if the chosen bundle cannot be trusted
    previous_version: str | None  # served before the reload; None if no model was
    model_version: str | None  # served now; None if no model is
    fallback_in_use: bool  # whether another bundle than the chosen one is served


@dataclass(frozen=True)
class _Served:
    """State of the host, replaced as a whole."""

    pipeline: Pipeline | None  # None if no bundle can be trusted
    fault: BundleError | None  # why the chosen bundle is not served; None if it is


class ModelHost:
    """Holds the model that is served. A request takes `pipeline` once and keeps it, even if a reload swaps it meanwhile."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._limits = DecodeLimits(max_pixels=settings.max_pixels)
        self._sandbox = SandboxedDecoder(self._limits)
        self._proven_at = float("-inf")
        self._reloading = threading.Lock()
        self._served = _Served(None, None)
        self._swap(self._load(None))

    @property
    def pipeline(self) -> Pipeline:
        """The model that is served. Raises ModelUnavailable if no bundle can be trusted."""
        if self._served.pipeline is None:
            raise ModelUnavailable("No trusted model is loaded; /health says why.")
        return self._served.pipeline

    def close(self) -> None:
        """End the decoding processes."""
        self._sandbox.close()

    def health(self) -> dict[str, Any]:
        """Body of /health. Faults are given by their kind; their messages, which name folders, stay in the log."""
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
        """Run a golden input through the served model, unless that was done less than PROOF_SECONDS ago.

        Raises ModelUnavailable, or GoldenMismatch.
        """
        pipeline = self.pipeline
        if monotonic() - self._proven_at > PROOF_SECONDS:
            pipeline.model.prove()
            self._proven_at = monotonic()

    def reload(self) -> ReloadOutcome:
        """Choose a bundle as at a start, and swap to it if it is another one. Blocks while it loads, some seconds.

        If the chosen bundle cannot be trusted, the served model stays: it is proven, and nobody chose another one.
        Raises ReloadInProgress.
        """
        if not self._reloading.acquire(blocking=False):
            raise ReloadInProgress("A reload is in progress; try again in some seconds.")
        try:
            before = self._served
            self._swap(self._load(before.pipeline))
        finally:
            self._reloading.release()
        now = self._served
        is_same = now.pipeline is before.pipeline
        outcome = "fallback" if now.fault is not None else "unchanged" if is_same else "swapped"
        RELOADS.labels(outcome).inc()
        return ReloadOutcome(outcome, _version(before), _version(now), now.pipeline is not None and now.fault is not None)

    def _load(self, served: Pipeline | None) -> _Served:
        """Load the chosen bundle. At a start, fall back to older ones; in a reload, keep `served` instead."""
        try:
            paths = candidates(self._settings.bundle)
        except BundleError as unknown:
            logger.exception("No bundle can be chosen")
            return _Served(served, unknown)

        def load(path: Path) -> Pipeline:
            try:
                bundle = ModelBundle.open(path)
                if served is not None and bundle.manifest == served.manifest:
                    return served
                pipeline = self._build(bundle)
            except BundleError:
                logger.exception("%s cannot be served", path)
                FALLBACKS.inc()
                raise
            logger.info("Serving %s %s from %s", bundle.manifest.name, bundle.manifest.version, path)
            return pipeline

        pipeline, faults = first_trusted(paths[:1] if served is not None else paths, load)
        if pipeline is None and served is None:
            logger.error("No model is served")
        return _Served(pipeline or served, faults[0] if faults else None)

    def _build(self, bundle: ModelBundle) -> Pipeline:
        model = Model.from_bundle(bundle, self._settings.ort_threads_per_session, stage_timer)
        statistics = model.observer.statistics
        drift = DriftCounter.from_bundle(bundle, None if statistics is None else statistics.components)
        begin_counting(bundle.manifest)
        return Pipeline(model, self._limits, self._sandbox, drift)

    def _swap(self, served: _Served) -> None:
        before, now = _version(self._served), _version(served)
        self._served = served
        FALLBACK_IN_USE.set(self.health()["fallback_in_use"])
        for version in {before, now} - {None}:
            MODEL_INFO.labels(version).set(version == now)


def _version(served: _Served) -> str | None:
    return None if served.pipeline is None else served.pipeline.manifest.version
