"""The BentoML service: wire <-> domain, nothing else. `bentoml serve service.app:ChestXrayService`."""

import asyncio
import functools
import gc
import logging
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from time import monotonic, perf_counter
from typing import Any, TypeVar

import bentoml
import cv2
from bentoml.exceptions import BentoMLConfigException
from starlette.requests import Request
from starlette.responses import Response

from service.access.policy import AccessPolicy
from service.errors import ModelUnavailable, OutOfTime, ServiceError, SettingsError
from service.film.errors import ChestXrayError, InputError, kebab_case
from service.hosting import ModelHost
from service.http.accept import preferred_type
from service.http.answers import (
    BatchAnswer,
    ExplainAnswer,
    PredictionAnswer,
    batch_answer,
    explain_answer,
    prediction_answer,
    prediction_record,
)
from service.http.body.forms import BatchForm, ExplainForm, FilmForm
from service.http.body.options import read_flag
from service.http.body.upload import Upload, read_film, read_films
from service.http.body_budget import BodyBudget, Hold
from service.http.call import current_call
from service.http.connections import use_for_connections
from service.http.endpoints.routes import build_routes
from service.http.middleware.admission import AdmissionMiddleware
from service.http.middleware.headers import HeadersMiddleware
from service.http.middleware.recording import RecordingMiddleware
from service.http.middleware.request_id import RequestIdMiddleware
from service.http.openapi import complete
from service.http.problems import STATUS_OF, ProblemMiddleware, problem_of
from service.http.thread_pool import Place, WorkerPool
from service.metrics import QUEUE_DEPTH, QUEUE_LIMIT, REJECTIONS, STAGE_SECONDS
from service.model.decision import DEFAULT_OPERATING_POINT, find_finding, find_operating_point
from service.model.errors import BundleError
from service.model.grad_cam import GradCam
from service.model.manifest import ModelManifest
from service.pipeline import Pipeline, ServedPrediction, silence_decoding_libraries
from service.process import supervision as start
from service.process.listening import check_options
from service.settings import BENTOML_TIMEOUT_SECONDS, read_settings

logger = logging.getLogger(__name__)

OPEN_TO_ALL = (
    "NO ACCESS CONTROL: everybody who reaches this address may send films, read the audit log and reload the model. "
    "For local use only; set CXR_AUTH=keys (see `cxr keys create --help`) or CXR_AUTH=tokens."
)

# What holds the package service.
PACKAGE_ROOT = Path(__file__).resolve().parent.parent

T = TypeVar("T")

ReadUpload = Callable[[Request, int, Hold], Awaitable[Upload]]


class ChestXray:
    """Chest X-ray classification: Normal, Pneumonia, Tuberculosis. For research use only; not a medical device."""

    def __init__(self) -> None:
        start.end_with_supervisor()
        self.settings = read_settings(os.environ)
        silence_decoding_libraries()
        # One film, one core: OpenCV's own threads would compete with those of concurrent films.
        cv2.setNumThreads(1)
        self._pool = WorkerPool(self.settings.threads, self.settings.queue_limit, QUEUE_DEPTH.set)
        QUEUE_LIMIT.set(self.settings.queue_limit)
        for kind in STATUS_OF:
            REJECTIONS.labels(kebab_case(kind.__name__))  # there before the first one, which is an increase then
        self._bodies = BodyBudget(self.settings.max_held_bytes)
        # Not at import, which BentoML's supervisor does as well: it needs no database.
        from service.records.opening import build_records, open_patiently

        self.records = build_records(self.settings)
        open_patiently(self.records)
        self.access = AccessPolicy.from_settings(self.settings, self.records.database)
        if self.access.is_open:
            logger.warning(OPEN_TO_ALL)
        # The model whose head it is, and its loading.
        self._grad_cam: tuple[Pipeline | None, asyncio.Future[GradCam] | None] = (None, None)
        # Without a model the process stays, so that /health can say why; /readyz keeps traffic away from it.
        self._host = ModelHost(self.settings)
        # What start-up built lives as long as the process: collections during requests need not walk through it. And a request
        # leaves no cycles worth looking for after every 700 objects, Python's default.
        gc.collect()
        gc.freeze()
        gc.set_threshold(10_000)

    @bentoml.on_deployment  # type: ignore[untyped-decorator]
    @staticmethod
    def check_settings() -> None:
        """End `bentoml serve` on what cannot work before it starts a worker: one that ends is started again, for ever."""
        # Inherited by the worker, where uvicorn would believe X-Forwarded-For of whoever connects from this machine, and
        # replace the peer's address before our own setting is asked.
        os.environ["FORWARDED_ALLOW_IPS"] = ""
        # What BentoML's command line prints as one line.
        try:
            check_options()
            _run_check()
            start.make_folder()
        except (SettingsError, OSError) as fault:
            raise BentoMLConfigException(str(fault)) from fault

    @bentoml.on_startup  # type: ignore[untyped-decorator]
    async def preload(self) -> None:
        """Begin loading PyTorch, if the settings ask for it; being ready does not wait for that."""
        if self.settings.explain_preload and self._host.pipeline is not None:
            self._load_grad_cam(self._host.pipeline)

    @bentoml.on_shutdown  # type: ignore[untyped-decorator]
    def close(self) -> None:
        """Let what runs end."""
        self._pool.shut_down()
        self._host.close()
        self.records.close()

    async def __is_ready__(self) -> bool:
        """Whether a film would be judged, and put on record: both are tried."""
        return await asyncio.to_thread(self._proves_itself)

    def _proves_itself(self) -> bool:
        try:
            self._host.prove_inference()
            self.records.check()
        except (BundleError, ServiceError, SettingsError) as fault:
            logger.warning("Not ready: %s", fault)
            return False
        return True

    @bentoml.api(route="/predict", input_spec=FilmForm, output_spec=PredictionAnswer)  # type: ignore[untyped-decorator]
    async def predict(self, form: FilmForm, /) -> Response:
        """Judge one film, sent as the multipart field `image` or as the whole body."""
        return await self._answer(self._predict(form.request))

    @bentoml.api(route="/predict/batch", input_spec=BatchForm, output_spec=BatchAnswer)  # type: ignore[untyped-decorator]
    async def predict_batch(self, form: BatchForm, /) -> Response:
        """Judge 1 to 10 films, sent as the multipart field `images`, repeated. A film that is refused fails alone."""
        return await self._answer(self._predict_batch(form.request))

    @bentoml.api(route="/predict/explain", input_spec=ExplainForm, output_spec=ExplainAnswer)  # type: ignore[untyped-decorator]
    async def predict_explain(self, form: ExplainForm, /) -> Response:
        """Judge one film and show where it speaks for `target` (Grad-CAM). With `Accept: image/png`: the overlay itself."""
        return await self._answer(self._predict_explain(form.request))

    def reserve_place(self) -> Place:
        """Room for a film that is on its way. Raises Overloaded."""
        return self._pool.reserve()

    def manifest(self) -> ModelManifest:
        """Manifest of the model being served. Raises ModelUnavailable."""
        return self._served().manifest

    def health(self) -> dict[str, Any]:
        """Body of /health."""
        return self._host.health()

    async def reload(self) -> dict[str, Any]:
        """Serve the release that is chosen now; requests in flight end on the one they began with. Raises ServiceError."""
        await asyncio.to_thread(self.records.check)  # what changes the service is put on record, or does not happen
        return asdict(await asyncio.to_thread(self._host.reload))

    def openapi(self) -> dict[str, Any]:
        """The OpenAPI document of this service."""
        document = ChestXrayService.openapi_spec.asdict()
        forms = {api.route: api.input_spec for api in ChestXrayService.apis.values()}
        return complete(document, forms, ChestXray.__doc__ or "")

    async def _predict(self, request: Request) -> Response:
        pipeline = self._served()
        async with self._upload(read_film, request, self.settings.max_upload_bytes) as upload:
            operating_point = _operating_point(upload, pipeline)
            deadline = current_call().deadline
            [result] = await self._run(functools.partial(pipeline.predict, upload.films[0], operating_point, deadline))
            prediction = _value(result)
            _note(pipeline, prediction, "/predict")
            return _json(prediction_answer(prediction, pipeline.manifest.version))

    async def _predict_batch(self, request: Request) -> Response:
        pipeline = self._served()
        async with self._upload(read_films, request, self.settings.max_batch_bytes) as upload:
            operating_point = _operating_point(upload, pipeline)
            # A film that takes all the time there is leaves some for the answer about the others.
            deadline = current_call().deadline - self.settings.timeout_seconds / 20
            calls = (functools.partial(pipeline.predict, film, operating_point, deadline) for film in upload.films)
            results = await self._run(*calls)
            items: list[ServedPrediction | ChestXrayError] = []
            for index, result in enumerate(results):
                if isinstance(result, InputError | ServiceError):
                    # Of the films of a batch; a request that is refused is counted by the middleware, whoever refuses it.
                    current_call().counts.append(REJECTIONS.labels(kebab_case(type(result).__name__)).inc)
                    items.append(result)
                    continue
                prediction = _value(result)
                _note(pipeline, prediction, "/predict/batch", index)
                items.append(prediction)
            return _json(batch_answer(items, pipeline.manifest.version))

    async def _predict_explain(self, request: Request) -> Response:
        pipeline = self._served()
        async with self._upload(read_film, request, self.settings.max_upload_bytes) as upload:
            operating_point = _operating_point(upload, pipeline)
            target = find_finding(upload.options["target"]) if "target" in upload.options else None
            with_film = read_flag(upload.options, "film")
            grad_cam = await asyncio.shield(self._load_grad_cam(pipeline))
            explain = functools.partial(pipeline.explain, with_film=with_film, deadline=current_call().deadline)
            [result] = await self._run(functools.partial(explain, upload.films[0], operating_point, target, grad_cam))
            prediction, explanation = _value(result)
            _note(pipeline, prediction, "/predict/explain")
            if _wants_png(request):
                return Response(explanation.overlay_png, media_type="image/png")
            return _json(explain_answer(prediction, explanation, pipeline.manifest.version))

    async def _answer(self, answering: Awaitable[Response]) -> Response:
        """The answer, or the problem that stands in its way; an unexpected error is left to the middleware and the log."""
        current_call().deadline = monotonic() + self.settings.timeout_seconds
        try:
            async with asyncio.timeout(self.settings.timeout_seconds):
                return await answering
        except TimeoutError:
            late = OutOfTime(f"The answer was not ready within {self.settings.timeout_seconds:g} seconds; try again.")
            return problem_of(late).response()
        except ChestXrayError as error:
            if type(error) not in STATUS_OF:
                raise
            return problem_of(error).response()

    def _served(self) -> Pipeline:
        if self._host.pipeline is None:
            raise ModelUnavailable("No trusted model is loaded; /health says why.")
        return self._host.pipeline

    @asynccontextmanager
    async def _upload(self, read: ReadUpload, request: Request, max_bytes: int) -> AsyncIterator[Upload]:
        """What was sent, whose bytes count as held until the answer is made."""
        with self._bodies.holding() as hold:
            start = perf_counter()
            upload = await read(request, max_bytes, hold)
            STAGE_SECONDS.labels("read").observe(perf_counter() - start)
            current_call().films = len(upload.films)
            yield upload

    async def _run(self, *calls: Callable[[], T]) -> list[T | BaseException]:
        if (place := current_call().place) is not None:
            place.give_back()  # to these calls, which take it before anybody else can
        return await self._pool.run(calls)

    def _load_grad_cam(self, pipeline: Pipeline) -> "asyncio.Future[GradCam]":
        """Load it once for each model, on a thread of its own: on the pool's, PyTorch's seconds would hold up predictions."""
        owner, loading = self._grad_cam
        if owner is not pipeline or loading is None or (loading.done() and loading.exception() is not None):
            loading = asyncio.get_running_loop().run_in_executor(None, GradCam.from_bundle, pipeline.bundle)
            self._grad_cam = pipeline, loading
        return loading


def _run_check() -> None:
    """In a process of its own: the supervisor would keep for good the memory that databases and cryptography take."""
    command = [sys.executable, "-m", "service.commands.cxr", "check"]
    checked = subprocess.run(command, cwd=PACKAGE_ROOT, stderr=subprocess.PIPE, text=True, check=False)  # noqa: S603
    if checked.returncode != 0:
        raise SettingsError(checked.stderr.strip())
    for line in checked.stderr.splitlines():
        logger.warning("%s", line)


def _value(result: T | BaseException) -> T:
    if isinstance(result, BaseException):
        raise result
    return result


def _operating_point(upload: Upload, pipeline: Pipeline) -> str:
    name = upload.options.get("operating_point", DEFAULT_OPERATING_POINT)
    find_operating_point(pipeline.manifest, name)
    return name


def _wants_png(request: Request) -> bool:
    return preferred_type(request.headers.getlist("accept"), ("application/json", "image/png")) == "image/png"


def _json(answer: PredictionAnswer | BatchAnswer) -> Response:
    return Response(answer.model_dump_json(exclude_none=True), media_type="application/json")


def _note(pipeline: Pipeline, prediction: ServedPrediction, endpoint: str, index: int = 0) -> None:
    """For the records, and for the metrics."""
    call = current_call()
    call.predictions.append(prediction_record(prediction, pipeline.manifest.version, endpoint, index))
    call.counts.append(functools.partial(pipeline.count, prediction))


ChestXrayService: Any = bentoml.service(
    name="chest_xray",
    workers=1,  # one process with threads; more replicas belong outside, where a dead one is replaced
    traffic={"timeout": BENTOML_TIMEOUT_SECONDS},
    http={"port": 3000},
    # Access log and spans cost as much CPU as the rest of the request's HTTP; BENTOML_CONFIG_OPTIONS can switch both on.
    logging={"access": {"enabled": False}},
    tracing={"excluded_urls": ".*"},
    metrics={"enabled": False},  # ours have labels of bounded number; service.metrics says more
)(ChestXray)
use_for_connections()
# From the outside in.
for middleware in (RequestIdMiddleware, HeadersMiddleware, ProblemMiddleware, RecordingMiddleware, AdmissionMiddleware):
    ChestXrayService.add_asgi_middleware(middleware)
ChestXrayService.mount_asgi_app(build_routes(), path="/", name="information")
