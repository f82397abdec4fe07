"""Holds the model that is served: a bundle, with a site profile if one was chosen.

Falls back to an older bundle at start-up if the chosen one cannot be verified, and swaps bundle and profile on a reload.
"""

import logging
import threading
from dataclasses import dataclass
from time import monotonic
from typing import Any

from service.drift import DriftCounter
from service.errors import ModelUnavailable, ReloadInProgress
from service.film.errors import kebab_case
from service.film.limits import DecodeLimits
from service.metrics import FALLBACK_IN_USE, FALLBACKS, MODEL_INFO, RELOADS, begin_counting, model_labels, stage_timer
from service.model.bundle import ModelBundle
from service.model.errors import BundleError, ProfileError
from service.model.model import Model
from service.model.releases import candidates, first_trusted
from service.model.site_profile import Site, SiteProfile
from service.pipeline import Pipeline
from service.sandbox.decoder import SandboxedDecoder
from service.settings import Settings

logger = logging.getLogger(__name__)

# Readiness probes come every few seconds; they run the model at most this often.
PROOF_SECONDS = 5.0


@dataclass(frozen=True)
class ReloadOutcome:
    """Result of a reload."""

    outcome: str  # "swapped", "unchanged", or "fallback" if the chosen bundle cannot be trusted, or its profile not applied
    previous_version: str | None  # served before the reload; None if no model was
    model_version: str | None  # served now; None if no model is
    fallback_in_use: bool  # whether another bundle or profile than the chosen one is served
    previous_site: Site | None = None  # the profile that was applied before the reload
    site: Site | None = None  # the profile that is applied now


@dataclass(frozen=True)
class _Served:
    """State of the host, replaced as a whole."""

    pipeline: Pipeline | None  # None if no bundle can be trusted, or the profile cannot be applied
    fault: BundleError | None  # why the chosen bundle is not served with the chosen profile; None if it is

    @property
    def version(self) -> str | None:
        """Version of the model; None if there is none."""
        return None if self.pipeline is None else self.pipeline.manifest.version

    @property
    def site(self) -> Site | None:
        """The profile that is applied; None if none is."""
        return None if self.pipeline is None else self.pipeline.site

    @property
    def is_fallback(self) -> bool:
        """Whether another bundle or profile than the chosen one is served."""
        return self.pipeline is not None and self.fault is not None

    @property
    def labels(self) -> tuple[str, str] | None:
        """Values of MODEL_LABELS; None without a model."""
        return None if self.version is None else model_labels(self.version, self.site)


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
            "model_version": served.version,
            "fallback_in_use": served.is_fallback,
            "site": served.site and served.site.members(),
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
        """Choose bundle and profile as at start-up, and swap to them if either differs. Blocks for the seconds that they load.

        If the chosen bundle cannot be trusted, or the profile cannot be applied to it, the model that is served stays: it is
        proven, while an older bundle is nobody's choice.

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
        return ReloadOutcome(outcome, before.version, now.version, now.is_fallback, before.site, now.site)

    def _load(self, served: Pipeline | None) -> _Served:
        """Load the chosen bundle with its profile. At start-up, fall back to older bundles; in a reload, keep `served` instead.

        A profile that cannot be applied to a trusted bundle is never left out: the bundle alone would answer as if nobody had
        commissioned it.
        """
        try:
            found = candidates(self._settings.bundle, self._settings.site)
        except BundleError as unknown:
            logger.exception("No bundle can be chosen")
            FALLBACKS.inc()
            return _Served(served, unknown)

        def load(bundle: ModelBundle, profile: SiteProfile | None) -> Pipeline:
            if served is not None and _is_same(served, bundle, profile):
                return served
            pipeline = self._build(bundle, profile)
            applied = "no site profile" if profile is None else f"the site profile {profile.path}"
            logger.info("Serving %s %s from %s with %s", bundle.manifest.name, bundle.manifest.version, bundle.path, applied)
            return pipeline

        try:
            pipeline, faults = first_trusted(found[:1] if served is not None else found, load)
        except ProfileError as unfit:
            logger.exception("The site profile cannot be applied")
            FALLBACKS.inc()
            return _Served(served, unfit)
        for fault in faults:
            logger.error("A bundle cannot be served: %s", fault, exc_info=fault)
            FALLBACKS.inc()
        if pipeline is None and served is None:
            logger.error("No model is served")
        return _Served(pipeline or served, faults[0] if faults else None)

    def _build(self, bundle: ModelBundle, profile: SiteProfile | None) -> Pipeline:
        model = Model.from_bundle(bundle, self._settings.ort_threads_per_session, stage_timer, profile)
        statistics = model.observer.statistics
        drift = DriftCounter.from_bundle(bundle, None if statistics is None else statistics.components, profile)
        begin_counting(model)
        return Pipeline(model, self._limits, self._sandbox, drift)

    def _swap(self, served: _Served) -> None:
        before, self._served = self._served, served
        FALLBACK_IN_USE.set(served.is_fallback)
        for labels in filter(None, {before.labels, served.labels}):
            MODEL_INFO.labels(*labels).set(labels == served.labels)


def _is_same(served: Pipeline, bundle: ModelBundle, profile: SiteProfile | None) -> bool:
    """Whether this bundle and profile are those served. Manifests hold the hash of every file, so comparing them suffices."""
    applied = served.model.profile
    served_manifest, manifest = (None if each is None else each.manifest for each in (applied, profile))
    return bundle.manifest == served.bundle.manifest and manifest == served_manifest
