"""The BentoML service and its start-up, run by `bentoml serve service.app:ChestXrayService`. service.http answers requests."""

import asyncio
import gc
import logging
import os
import subprocess
import sys
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import bentoml
import cv2
from bentoml.exceptions import BentoMLConfigException
from starlette.responses import Response

from service.access.policy import AccessPolicy
from service.errors import RecordsUnavailable, ServiceError, SettingsError
from service.film.errors import kebab_case
from service.hosting import ModelHost
from service.http.answers import BatchAnswer, ExplainAnswer, PredictionAnswer
from service.http.body.forms import BatchForm, ExplainForm, FilmForm
from service.http.capacity import Capacity
from service.http.connections import use_for_connections
from service.http.context import ServiceContext
from service.http.endpoints.predictions import Predictions
from service.http.endpoints.routes import build_routes
from service.http.middleware.stack import MiddlewareStack
from service.http.openapi import openapi_document
from service.http.problems import STATUS_OF
from service.metrics import REJECTIONS
from service.model.errors import BundleError
from service.pipeline import silence_decoding_libraries
from service.process.listening import check_options
from service.process.supervision import become_supervisor, end_with_supervisor
from service.settings import BENTOML_TIMEOUT_SECONDS, read_settings

logger = logging.getLogger(__name__)

NO_ACCESS_CONTROL = (
    "NO ACCESS CONTROL: everybody who reaches this address may send films, read the audit log and reload the model. "
    "For local use only; set CXR_AUTH=keys (see `cxr keys create --help`) or CXR_AUTH=tokens."
)

# The folder that holds the package `service`.
PACKAGE_ROOT = Path(__file__).resolve().parent.parent

# At module level, because middleware and routes are built with it when BentoML imports this module, before `ChestXray` exists.
context = ServiceContext()


class ChestXray:
    """Chest X-ray classification: Normal, Pneumonia, Tuberculosis. For research use only; not a medical device."""

    def __init__(self) -> None:
        end_with_supervisor()
        settings = context.settings = read_settings(os.environ)
        silence_decoding_libraries()
        # One film, one core: OpenCV's own threads would compete with those of concurrent films.
        cv2.setNumThreads(1)
        context.capacity = Capacity(settings.threads, settings.queue_limit, settings.max_held_bytes)
        for kind in STATUS_OF:
            REJECTIONS.labels(kebab_case(kind.__name__))  # create each series at zero, so that the first refusal is an increase
        # Not imported above: BentoML's supervisor imports this module too, and needs no database.
        from service.records.store import RecordStore

        context.records = RecordStore.from_settings(settings)
        try:
            context.records.open()
        except RecordsUnavailable as fault:  # not ready until the database can be reached
            logger.warning("%s", fault)
        context.access = AccessPolicy(settings, context.records.database)
        if context.access.is_open:
            logger.warning(NO_ACCESS_CONTROL)
        # Without a model the process stays, so that /health can say why; /readyz keeps traffic away from it.
        context.host = ModelHost(settings)
        self._predictions = Predictions(context)
        # Objects made at start-up live as long as the process, so no collection need visit them. Requests leave few reference
        # cycles, so the collector need not run after every 700 allocations, Python's default.
        gc.collect()
        gc.freeze()
        gc.set_threshold(10_000)

    @bentoml.on_deployment  # type: ignore[untyped-decorator]
    @staticmethod
    def check_settings() -> None:
        """End `bentoml serve` with one line if the worker could not start: BentoML restarts a failing worker for ever."""
        # The worker inherits this. By default uvicorn believes X-Forwarded-For of every client on this machine, and replaces
        # the peer's address before CXR_TRUSTED_PROXIES is applied.
        os.environ["FORWARDED_ALLOW_IPS"] = ""
        try:
            check_options()
            _run_check()
        except (SettingsError, OSError) as fault:
            raise BentoMLConfigException(str(fault)) from fault  # BentoML's command line prints this one without a traceback
        become_supervisor()

    @bentoml.on_startup  # type: ignore[untyped-decorator]
    async def preload(self) -> None:
        """Begin loading PyTorch, if the settings ask for it; readiness does not wait for it."""
        if context.settings.explain_preload:
            with suppress(ServiceError):  # no model that can be trusted
                self._predictions.load_grad_cam(context.host.pipeline)

    @bentoml.on_shutdown  # type: ignore[untyped-decorator]
    def close(self) -> None:
        """Drop films that wait, end the decoding processes, and write what the records still hold in memory."""
        context.capacity.close()
        context.host.close()
        context.records.close()

    async def __is_ready__(self) -> bool:
        """Whether films can be judged and recorded: tries both."""
        return await asyncio.to_thread(_is_ready)

    @bentoml.api(route="/predict", input_spec=FilmForm, output_spec=PredictionAnswer)  # type: ignore[untyped-decorator]
    async def predict(self, form: FilmForm, /) -> Response:
        """Judge one film, sent as the multipart field `image` or as the whole body."""
        return await self._predictions.predict(form.request)

    @bentoml.api(route="/predict/batch", input_spec=BatchForm, output_spec=BatchAnswer)  # type: ignore[untyped-decorator]
    async def predict_batch(self, form: BatchForm, /) -> Response:
        """Judge 1 to 10 films, sent as the multipart field `images`, repeated. A film that is refused fails alone."""
        return await self._predictions.predict_batch(form.request)

    @bentoml.api(route="/predict/explain", input_spec=ExplainForm, output_spec=ExplainAnswer)  # type: ignore[untyped-decorator]
    async def predict_explain(self, form: ExplainForm, /) -> Response:
        """Judge one film and show where it speaks for `target` (Grad-CAM). With `Accept: image/png`: the overlay itself."""
        return await self._predictions.explain(form.request)


def _is_ready() -> bool:
    try:
        context.host.prove_inference()
        context.records.check()
    except (BundleError, ServiceError, SettingsError) as fault:
        logger.warning("Not ready: %s", fault)
        return False
    return True


def _run_check() -> None:
    """Run `cxr check`, in its own process: this one, the supervisor, would keep the memory that its libraries take."""
    command = [sys.executable, "-m", "service.commands.cxr", "check", "--at-start"]
    checked = subprocess.run(command, cwd=PACKAGE_ROOT, stderr=subprocess.PIPE, text=True, check=False)  # noqa: S603
    if checked.returncode != 0:
        raise SettingsError(checked.stderr.strip())
    for line in checked.stderr.splitlines():
        logger.warning("%s", line)


ChestXrayService: Any = bentoml.service(
    name="chest_xray",
    workers=1,  # one process with threads; replicas belong outside, where one that dies is replaced
    traffic={"timeout": BENTOML_TIMEOUT_SECONDS},
    http={"port": 3000},
    # Access log and spans cost as much CPU as the rest of the request's HTTP; BENTOML_CONFIG_OPTIONS can switch both on.
    logging={"access": {"enabled": False}},
    tracing={"excluded_urls": ".*"},
    metrics={"enabled": False},  # BentoML's labels hold paths as sent, without a bound; see service.metrics
)(ChestXray)
use_for_connections(context)
ChestXrayService.add_asgi_middleware(MiddlewareStack, context=context)
routes = build_routes(context, partial(openapi_document, ChestXrayService))
ChestXrayService.mount_asgi_app(routes, path="/", name="information")
