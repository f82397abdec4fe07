"""/predict, /predict/batch and /predict/explain."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from time import monotonic, perf_counter

from starlette.requests import Request
from starlette.responses import Response

from service.errors import OutOfTime, ServiceError
from service.film.errors import ChestXrayError, InputError, kebab_case
from service.http.accept import preferred_type
from service.http.answers import BatchAnswer, PredictionAnswer, batch_answer, explain_answer, prediction_answer
from service.http.body.options import read_flag
from service.http.body.upload import Upload, read_films
from service.http.call import Call, current_call
from service.http.capacity import Reservation
from service.http.context import ServiceContext
from service.http.problems import problem_of
from service.metrics import REJECTIONS, STAGE_SECONDS
from service.model.decision import DEFAULT_OPERATING_POINT, find_finding, find_operating_point
from service.model.grad_cam import GradCam
from service.pipeline import Pipeline, ServedPrediction
from service.records.values import PredictionRecord

# Share of the time limit that a batch keeps for its answer: one slow film must not cost the others theirs.
_BATCH_RESERVE = 0.05

Judge = Callable[["_Job"], Awaitable[Response]]


class Predictions:
    """Answers the requests with films. To be used on the event loop only; the threads of `Capacity` judge the films."""

    def __init__(self, context: ServiceContext) -> None:
        self._context = context
        # Grad-CAM of the pipeline that was asked for last, loaded or loading.
        self._grad_cam: dict[Pipeline, asyncio.Future[GradCam]] = {}

    async def predict(self, request: Request) -> Response:
        """Answer of /predict."""
        return await self._answer(request, self._predict)

    async def predict_batch(self, request: Request) -> Response:
        """Answer of /predict/batch."""
        return await self._answer(request, self._predict_batch, batch=True)

    async def explain(self, request: Request) -> Response:
        """Answer of /predict/explain."""
        return await self._answer(request, self._explain)

    def load_grad_cam(self, pipeline: Pipeline) -> "asyncio.Future[GradCam]":
        """Load Grad-CAM once for each model, on none of the threads of `Capacity`: importing PyTorch takes seconds."""
        loading = self._grad_cam.get(pipeline)
        if loading is None or (loading.done() and loading.exception() is not None):
            loading = asyncio.get_running_loop().run_in_executor(None, pipeline.model.load_grad_cam)
            self._grad_cam = {pipeline: loading}
        return loading

    async def _answer(self, request: Request, judge: Judge, *, batch: bool = False) -> Response:
        """Read the films and judge them within the time limit. Expected errors become problem details; others are raised."""
        call, settings = current_call(), self._context.settings
        if (reservation := call.reservation) is None:
            raise RuntimeError(f"AdmissionMiddleware reserves no capacity for {call.endpoint}")
        call.deadline = monotonic() + settings.timeout_seconds
        try:
            async with asyncio.timeout(settings.timeout_seconds):
                pipeline = self._context.host.pipeline
                start = perf_counter()
                max_bytes = settings.max_batch_bytes if batch else settings.max_upload_bytes
                upload = await read_films(request, max_bytes, reservation.hold, batch=batch)
                STAGE_SECONDS.labels("read").observe(perf_counter() - start)
                call.films = len(upload.films)
                operating_point = upload.options.get("operating_point", DEFAULT_OPERATING_POINT)
                find_operating_point(pipeline.manifest, operating_point)
                return await judge(_Job(request, pipeline, upload, operating_point, reservation, call))
        except TimeoutError:
            late = OutOfTime(f"The answer was not ready within {settings.timeout_seconds:g} s; try again.")
            return problem_of(late).response()
        except (InputError, ServiceError) as error:
            return problem_of(error).response()
        finally:
            reservation.release()

    async def _predict(self, job: "_Job") -> Response:
        predict = partial(job.pipeline.predict, job.upload.films[0], job.operating_point, job.call.deadline)
        prediction = await job.reservation.run(predict)
        job.note(prediction)
        return _json(prediction_answer(prediction))

    async def _predict_batch(self, job: "_Job") -> Response:
        deadline = job.call.deadline - _BATCH_RESERVE * self._context.settings.timeout_seconds
        calls = [partial(job.pipeline.predict, film, job.operating_point, deadline) for film in job.upload.films]
        items: list[ServedPrediction | ChestXrayError] = []
        for index, result in enumerate(await job.reservation.run_all(calls)):
            if isinstance(result, InputError | ServiceError):
                # Counted here for films of a batch only: RecordingMiddleware counts requests that are refused as a whole.
                job.call.counts.append(REJECTIONS.labels(kebab_case(type(result).__name__)).inc)
            elif isinstance(result, BaseException):
                raise result
            else:
                job.note(result, index)
            items.append(result)
        return _json(batch_answer(items, job.pipeline))

    async def _explain(self, job: "_Job") -> Response:
        film, options = job.upload.films[0], job.upload.options
        target = find_finding(options["target"]) if "target" in options else None
        with_film = read_flag(options, "film")
        grad_cam = await asyncio.shield(self.load_grad_cam(job.pipeline))
        explain = partial(
            job.pipeline.explain, film, job.operating_point, target, grad_cam, with_film=with_film, deadline=job.call.deadline
        )
        prediction, explanation = await job.reservation.run(explain)
        job.note(prediction)
        if preferred_type(job.request.headers.getlist("accept"), ("application/json", "image/png")) == "image/png":
            return Response(explanation.overlay_png, media_type="image/png")
        return _json(explain_answer(prediction, explanation))


@dataclass(frozen=True)
class _Job:
    """A request whose films have arrived."""

    request: Request
    pipeline: Pipeline
    upload: Upload
    operating_point: str
    reservation: Reservation
    call: Call

    def note(self, prediction: ServedPrediction, index: int = 0) -> None:
        """Note a prediction, which RecordingMiddleware records and counts. index: of the film in its batch, from 0."""
        self.call.predictions.append(_prediction_record(prediction, self.call, index))
        self.call.counts.append(partial(self.pipeline.count, prediction))


def _prediction_record(prediction: ServedPrediction, call: Call, index: int) -> PredictionRecord:
    return PredictionRecord(
        timestamp=datetime.now(UTC),
        prediction_id=prediction.prediction_id,
        request_id=call.request_id,
        index=index,
        endpoint=call.endpoint,
        user_id=call.user_id,
        model_version=prediction.model_version,
        site=None if prediction.site is None else str(prediction.site),
        image_sha256=prediction.image_sha256,
        image_format=prediction.format,
        width_px=prediction.width_px,
        height_px=prediction.height_px,
        prediction=prediction.finding,
        confidence=prediction.confidence,
        probabilities={finding.value: value for finding, value in prediction.probabilities.items()},
        operating_point=prediction.operating_point,
        prediction_set=prediction.prediction_set,
        review_reasons=prediction.review_reasons,
        inference_time_ms=prediction.inference_time_ms,
    )


def _json(answer: PredictionAnswer | BatchAnswer) -> Response:
    return Response(answer.model_dump_json(), media_type="application/json")
