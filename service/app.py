"""The BentoML service: wire <-> domain, nothing else. `bentoml serve service.app:ChestXrayService`."""

import asyncio
import functools
import gc
import logging
import os
import warnings
from collections.abc import Awaitable, Callable
from time import perf_counter
from typing import Any, TypeVar

import bentoml
import cv2
from bentoml.exceptions import BentoMLConfigException
from starlette.requests import Request
from starlette.responses import Response

from service.contract.errors import BundleError, ChestXrayError, ConfigError, InputError, ModelUnavailable, OutOfTime
from service.contract.manifest import ModelBundle, ModelManifest
from service.contract.radiograph import DecodeLimits
from service.decision import DEFAULT_OPERATING_POINT, find_finding, find_operating_point
from service.explain import GradCam
from service.http.answers import (
    BatchAnswer,
    ExplainAnswer,
    PredictionAnswer,
    batch_answer,
    explain_answer,
    prediction_answer,
)
from service.http.forms import BatchForm, ExplainForm, FilmForm
from service.http.openapi import complete
from service.http.problems import STATUS_OF, ProblemMiddleware, kebab_case, problem_of
from service.http.request_id import RequestIdMiddleware
from service.http.routes import build_routes
from service.http.upload import Upload, read_film, read_films
from service.loading import load_predictor, locate_bundle
from service.monitoring import REJECTIONS, REQUEST_BUCKETS_SECONDS, STAGE_SECONDS
from service.observer import Observer
from service.pipeline import Pipeline
from service.settings import BENTOML_TIMEOUT_SECONDS, Settings, read_settings
from service.workers import WorkerPool

logger = logging.getLogger(__name__)

T = TypeVar("T")


class ChestXray:
    """Chest X-ray classification: Normal, Pneumonia, Tuberculosis. For research use only; not a medical device."""

    def __init__(self) -> None:
        self._settings = read_settings(os.environ)
        _silence_decoders()
        # One film, one core: OpenCV's own threads would compete with those of concurrent films.
        cv2.setNumThreads(1)
        self._pool = WorkerPool(self._settings.threads, self._settings.queue_limit)
        self._grad_cam: asyncio.Future[GradCam] | None = None
        self._model: Pipeline | BundleError
        try:
            self._model = _load(self._settings)
        except BundleError as fault:
            # The process stays, so that /health can say why; /readyz keeps traffic away from it.
            logger.exception("No model is served")
            self._model = fault
        # What start-up built lives as long as the process: collections during requests need not walk through it. And a request
        # leaves no cycles worth looking for after every 700 objects, Python's default.
        gc.collect()
        gc.freeze()
        gc.set_threshold(10_000)

    @bentoml.on_deployment  # type: ignore[untyped-decorator]
    @staticmethod
    def check_settings() -> None:
        """End `bentoml serve` on a wrong setting before it starts a worker: one that ends is started again, for ever."""
        try:
            read_settings(os.environ)
        except ConfigError as fault:
            # What BentoML's command line prints as one line.
            raise BentoMLConfigException(str(fault)) from fault

    @bentoml.on_startup  # type: ignore[untyped-decorator]
    async def preload(self) -> None:
        """Begin loading PyTorch, if the settings ask for it; being ready does not wait for that."""
        if self._settings.explain_preload and isinstance(self._model, Pipeline):
            self._load_grad_cam(self._model)

    @bentoml.on_shutdown  # type: ignore[untyped-decorator]
    def close(self) -> None:
        """Let what runs end."""
        self._pool.shut_down()

    async def __is_ready__(self) -> bool:
        return isinstance(self._model, Pipeline)

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

    def manifest(self) -> ModelManifest:
        """Manifest of the model being served. Raises ModelUnavailable."""
        return self._served().manifest

    def health(self) -> dict[str, Any]:
        """Body of /health."""
        if isinstance(self._model, Pipeline):
            return {"status": "ok", "model_version": self._model.manifest.version, "fallback_in_use": False}
        # The message itself stays in the log: it names folders of this machine.
        fault = type(self._model)
        return {
            "status": "unavailable",
            "model_version": None,
            "fallback_in_use": False,
            "reason": kebab_case(fault.__name__),
            "detail": fault.__doc__,
        }

    def openapi(self) -> dict[str, Any]:
        """The OpenAPI document of this service."""
        document = ChestXrayService.openapi_spec.asdict()
        forms = {api.route: api.input_spec for api in ChestXrayService.apis.values()}
        return complete(document, forms, ChestXray.__doc__ or "")

    async def _predict(self, request: Request) -> Response:
        pipeline = self._served()
        upload = await self._read(read_film, request, self._settings.max_upload_bytes)
        operating_point = _operating_point(upload, pipeline)
        [prediction] = await self._run(functools.partial(pipeline.predict, upload.films[0], operating_point))
        return _json(prediction_answer(_value(prediction), pipeline.manifest.version))

    async def _predict_batch(self, request: Request) -> Response:
        pipeline = self._served()
        upload = await self._read(read_films, request, self._settings.max_batch_bytes)
        operating_point = _operating_point(upload, pipeline)
        results = await self._run(*(functools.partial(pipeline.predict, film, operating_point) for film in upload.films))
        for result in results:
            if isinstance(result, InputError):
                _count_rejection(result)
        items = [result if isinstance(result, InputError) else _value(result) for result in results]
        return _json(batch_answer(items, pipeline.manifest.version))

    async def _predict_explain(self, request: Request) -> Response:
        pipeline = self._served()
        upload = await self._read(read_film, request, self._settings.max_upload_bytes)
        operating_point = _operating_point(upload, pipeline)
        target = find_finding(upload.options["target"]) if "target" in upload.options else None
        grad_cam = await asyncio.shield(self._load_grad_cam(pipeline))
        [result] = await self._run(functools.partial(pipeline.explain, upload.films[0], operating_point, target, grad_cam))
        prediction, explanation = _value(result)
        if _wants_png(request):
            return Response(explanation.overlay_png, media_type="image/png")
        return _json(explain_answer(prediction, explanation, pipeline.manifest.version))

    async def _answer(self, answering: Awaitable[Response]) -> Response:
        """The answer, or the problem that stands in its way; an unexpected error is left to the middleware and the log."""
        try:
            async with asyncio.timeout(self._settings.timeout_seconds):
                return await answering
        except TimeoutError:
            return _refusal(
                OutOfTime(f"The answer was not ready within {self._settings.timeout_seconds:g} seconds; try again.")
            )
        except ChestXrayError as error:
            if type(error) not in STATUS_OF:
                raise
            return _refusal(error)

    def _served(self) -> Pipeline:
        if isinstance(self._model, BundleError):
            raise ModelUnavailable("No trusted model is loaded; /health says why.")
        return self._model

    async def _read(self, read: Callable[[Request, int], Awaitable[Upload]], request: Request, max_bytes: int) -> Upload:
        # Refused before the body is read: a full service has no memory to spare for bodies it will not look at.
        self._pool.check_room()
        start = perf_counter()
        upload = await read(request, max_bytes)
        STAGE_SECONDS.labels("read").observe(perf_counter() - start)
        return upload

    async def _run(self, *calls: Callable[[], T]) -> list[T | BaseException]:
        return await self._pool.run(calls)

    def _load_grad_cam(self, pipeline: Pipeline) -> "asyncio.Future[GradCam]":
        """Load it once, on a thread of its own: on the pool's, the seconds that PyTorch takes would hold up predictions."""
        if self._grad_cam is None or (self._grad_cam.done() and self._grad_cam.exception() is not None):
            loop = asyncio.get_running_loop()
            self._grad_cam = loop.run_in_executor(None, GradCam.from_bundle, pipeline.bundle)
        return self._grad_cam


def _silence_decoders() -> None:
    """Drop what the decoding libraries say of a film: it repeats text of the file, whose line breaks would forge log lines."""
    for library in ("PIL", "pydicom"):
        logging.getLogger(library).setLevel(logging.CRITICAL)
        # Shown once and remembered for good is the default: every new text would also take memory for ever.
        warnings.filterwarnings("ignore", module=rf"{library}\.")


def _load(settings: Settings) -> Pipeline:
    bundle = ModelBundle.open(locate_bundle(settings.bundle))
    predictor = load_predictor(bundle, settings.ort_threads_per_session)
    logger.info("Serving %s %s from %s", bundle.manifest.name, bundle.manifest.version, bundle.path)
    return Pipeline(bundle, predictor, Observer.from_bundle(bundle), DecodeLimits(max_pixels=settings.max_pixels))


def _value(result: T | BaseException) -> T:
    if isinstance(result, BaseException):
        raise result
    return result


def _operating_point(upload: Upload, pipeline: Pipeline) -> str:
    name = upload.options.get("operating_point", DEFAULT_OPERATING_POINT)
    find_operating_point(pipeline.manifest, name)
    return name


def _wants_png(request: Request) -> bool:
    accepted = request.headers.get("accept", "").split(",")
    return "image/png" in (media_range.partition(";")[0].strip().lower() for media_range in accepted)


def _json(answer: PredictionAnswer | BatchAnswer) -> Response:
    return Response(answer.model_dump_json(), media_type="application/json")


def _refusal(error: ChestXrayError) -> Response:
    _count_rejection(error)
    return problem_of(error).response()


def _count_rejection(error: ChestXrayError) -> None:
    REJECTIONS.labels(kebab_case(type(error).__name__)).inc()


ChestXrayService: Any = bentoml.service(
    name="chest_xray",
    workers=1,  # one process with threads; more replicas belong outside, where a dead one is replaced
    traffic={"timeout": BENTOML_TIMEOUT_SECONDS},
    http={"port": 3000},
    # Access log and spans cost as much CPU as the rest of the request's HTTP; BENTOML_CONFIG_OPTIONS can switch both on.
    logging={"access": {"enabled": False}},
    tracing={"excluded_urls": ".*"},
    metrics={"duration": {"buckets": REQUEST_BUCKETS_SECONDS}},
)(ChestXray)
ChestXrayService.add_asgi_middleware(RequestIdMiddleware)
ChestXrayService.add_asgi_middleware(ProblemMiddleware)
ChestXrayService.mount_asgi_app(build_routes(), path="/", name="information")
