"""Writes one audit row for each API call before its answer leaves, and times every request."""

import asyncio
import functools
from concurrent.futures import Future
from datetime import UTC, datetime
from http import HTTPStatus
from time import perf_counter
from typing import TYPE_CHECKING, cast

from starlette.datastructures import MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.errors import RecordsUnavailable
from service.http.call import Call, current_call
from service.http.context import ServiceContext
from service.http.problems import problem_of
from service.metrics import IN_FLIGHT, REJECTIONS, REQUEST_SECONDS
from service.records.values import AuditEntry, NewReport, StoredReport

if TYPE_CHECKING:  # SQLAlchemy, which BentoML's supervisor need not load
    from service.records.store import RecordStore

# Header of the answer for a single film: an answer that is a PNG can name its prediction in no other way.
PREDICTION_ID_HEADER = "X-Prediction-ID"

# Stands for a refused film in the audit row of a batch.
_REFUSED = "-"

_WITHHELD = "The answer cannot be recorded, and so is withheld; try again shortly."


class RecordingMiddleware:
    """Withholds an answer until its audit row and predictions are committed; if that fails, the answer is a 503.

    Public paths (page, documentation, probes) are timed, but get no row; nor do refusals that the access policy excludes.
    """

    def __init__(self, app: ASGIApp, context: ServiceContext) -> None:
        self._app = app
        self._context = context

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI entry."""
        start, call = perf_counter(), current_call()
        status = HTTPStatus.INTERNAL_SERVER_ERROR.value
        withheld: Response | None = None

        async def send_recorded(message: Message) -> None:
            nonlocal status, withheld
            if message["type"] == "http.response.start":
                status = message["status"]
                try:
                    await self._record_once(call, status)
                    _name_prediction(call, message)
                except RecordsUnavailable:
                    withheld = problem_of(RecordsUnavailable(_WITHHELD)).response()
                    status = withheld.status_code
            if withheld is None:
                await send(message)

        IN_FLIGHT.inc()
        try:
            await self._app(scope, receive, send_recorded)
        finally:
            IN_FLIGHT.dec()
            REQUEST_SECONDS.labels(call.endpoint, status).observe(perf_counter() - start)
            if call.problem is not None:
                REJECTIONS.labels(call.problem).inc()
            if withheld is None:  # writes the row of an exception, which ProblemMiddleware makes a 500; others are written
                await self._record_once(call, status)
        if withheld is not None:
            await withheld(scope, receive, send)

    async def _record_once(self, call: Call, status: int) -> None:
        if call.needs_row:
            await _record(self._context.records, call, status)


def _name_prediction(call: Call, start: Message) -> None:
    if start["status"] < HTTPStatus.BAD_REQUEST and call.films == 1 and call.predictions:
        MutableHeaders(scope=start)[PREDICTION_ID_HEADER] = call.predictions[0].prediction_id


async def record_with(records: "RecordStore", report: NewReport, status: int) -> StoredReport:
    """Store a report and the audit row of the call that brings it in one transaction. status: of the answer.

    Raises RecordsUnavailable; neither is stored then.
    """
    return cast(StoredReport, await _record(records, current_call(), status, report))


async def _record(records: "RecordStore", call: Call, status: int, report: NewReport | None = None) -> StoredReport | None:
    """Store the audit row of a call, with its predictions and the report that it brings. Raises RecordsUnavailable."""
    # A refusal tells the client no prediction, so none is stored.
    is_given = status < HTTPStatus.BAD_REQUEST
    predictions = call.predictions if is_given else []
    single = predictions[0] if call.films == 1 and predictions else None
    entry = AuditEntry(
        timestamp=datetime.now(UTC),
        request_id=call.request_id,
        method=call.method,
        endpoint=call.endpoint,
        status=status,
        outcome=_outcome(call, status),
        user_id=call.user_id,
        role=call.caller.role if call.caller else None,
        address=call.address,
        prediction=_of_films(call, {film.index: film.prediction for film in predictions}),
        confidence=single.confidence if single else None,
        inference_time_ms=round(sum(film.inference_time_ms for film in predictions), 2) if predictions else None,
        model_version=predictions[0].model_version if predictions else None,
        site=predictions[0].site if predictions else None,
        image_sha256=single.image_sha256 if single else None,
        prediction_id=report.values["prediction_id"]
        if report
        else _of_films(call, {film.index: film.prediction_id for film in predictions}),
    )
    # Before waiting: even if the call is cancelled meanwhile, the row is written, and must not be written again.
    call.needs_row = False
    recorded = records.append(entry, predictions, report)
    if is_given:
        recorded.add_done_callback(functools.partial(_count, call))
    try:
        return await asyncio.wrap_future(recorded)
    except RecordsUnavailable:
        call.needs_row = True
        raise


def _count(call: Call, recorded: "Future[StoredReport | None]") -> None:
    if recorded.exception() is None:
        for count in call.counts:
            count()


def _outcome(call: Call, status: int) -> str:
    if status < 400:
        return "ok"
    return call.problem or HTTPStatus(status).phrase.lower().replace(" ", "-")


def _of_films(call: Call, values: dict[int, str]) -> str | None:
    """The values of a batch's films, by index, in order and separated by semicolons; None if there are none."""
    return ";".join(values.get(index, _REFUSED) for index in range(call.films)) if values else None
