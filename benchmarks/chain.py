"""What the middleware chain costs: request id, headers, problems, audit row and prediction, key, role and rate."""

import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from time import process_time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.access.keys import KeyStore
from service.access.policy import AccessPolicy
from service.access.roles import Role
from service.http.call import current_call
from service.http.capacity import Capacity
from service.http.context import ServiceContext
from service.http.middleware.stack import MiddlewareStack
from service.model.findings import FINDINGS
from service.prediction_id import new_prediction_id
from service.records.store import RecordStore
from service.records.values import PredictionRecord
from service.settings import Settings

_BODY = b'{"prediction":"Normal"}'


def chain_cpu_ms(requests: int, at_once: int) -> float:
    """Mean CPU milliseconds a request, the thread that writes records included, beyond those of the bare application.

    A real key, SQLite database and limiter, and a judged film's record; at_once: requests on their way at the same time.
    """
    with tempfile.TemporaryDirectory() as folder:
        context = ServiceContext()
        database = f"sqlite:///{Path(folder) / 'records.db'}"
        settings = context.settings = Settings(database_url=database, auth="keys", rate_limit="1000000/minute")
        records = context.records = RecordStore(database)
        records.open()
        key, _ = KeyStore(records.database).create("benchmark", Role.CLINICIAN)
        context.access = AccessPolicy(settings, records.database)
        context.capacity = Capacity(2, settings.queue_limit, settings.max_held_bytes)
        try:
            chain = MiddlewareStack(_judged, context)
            whole, bare = (asyncio.run(_cpu_ms(app, key, requests, at_once)) for app in (chain, _bare))
        finally:
            records.close()
            context.capacity.close()
    return whole - bare


async def _cpu_ms(app: ASGIApp, key: str, requests: int, at_once: int) -> float:
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/predict",
        "scheme": "http",
        "client": ("127.0.0.1", 5000),
        "headers": [(b"x-api-key", key.encode()), (b"content-type", b"image/jpeg")],
    }

    async def some(count: int) -> None:
        for _ in range(count):
            await app(dict(scope), _receive, _send)

    async def all_of(count: int) -> None:
        await asyncio.gather(*(asyncio.create_task(some(count // at_once)) for _ in range(at_once)))

    await all_of(10 * at_once)
    start = process_time()
    await all_of(requests)
    return 1000 * (process_time() - start) / (requests // at_once * at_once)


async def _receive() -> Message:
    return {"type": "http.request", "body": b"", "more_body": False}


async def _send(message: Message) -> None:
    """Into the void, unless it is no answer of the application's own."""
    if message.get("status", 200) != 200:
        raise RuntimeError(f"the chain answered {message['status']}")


async def _bare(scope: Scope, receive: Receive, send: Send) -> None:
    await _answer(send)


async def _judged(scope: Scope, receive: Receive, send: Send) -> None:
    call = current_call()
    call.films = 1
    call.predictions.append(
        PredictionRecord(
            timestamp=datetime.now(UTC),
            prediction_id=new_prediction_id(),
            request_id=call.request_id,
            index=0,
            endpoint="/predict",
            user_id=call.caller.user_id if call.caller else None,
            model_version="1.1.0",
            image_sha256="0" * 64,
            image_format="jpeg",
            width_px=512,
            height_px=512,
            prediction="Normal",
            confidence=0.9,
            probabilities=dict.fromkeys(FINDINGS, 1 / 3),
            operating_point="balanced",
            prediction_set=("Normal",),
            review_reasons=(),
            inference_time_ms=12.0,
        )
    )
    await _answer(send)


async def _answer(send: Callable[[Message], Awaitable[None]]) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": _BODY})
