import asyncio
from concurrent.futures import Future
from types import SimpleNamespace

import pytest
from prometheus_client import REGISTRY

from service.errors import RecordsUnavailable
from service.http.call import current_call
from service.http.middleware import recording
from service.http.middleware.admission import AdmissionMiddleware
from service.http.middleware.recording import RecordingMiddleware
from service.http.middleware.request_id import RequestIdMiddleware
from service.records.values import NewReport
from tests.support.recorded import prediction

# How metrics show an answer that was held back.
WITHHELD = ("cxr_rejections_total", {"problem": "records-unavailable"})
TIMED = ("cxr_request_seconds_count", {"endpoint": "/audit", "status": "503"})

START = {"type": "http.response.start", "status": 200, "headers": []}
BODY = {"type": "http.response.body", "body": b"{}"}


@pytest.fixture
def rows(monkeypatch):
    rows = []

    def append(entry, predictions=(), report=None):
        done = Future()
        rows.append(entry)
        done.set_result(7 if report else None)
        return done

    monkeypatch.setattr(recording, "running_service", lambda: SimpleNamespace(records=SimpleNamespace(append=append)))
    return rows


def call(app, scope_type="http", path="/audit"):
    """What is sent for one request to an application behind the middleware."""
    sent = []

    async def send(message):
        sent.append(message)

    scope = {"type": scope_type, "method": "GET", "path": path, "headers": []}
    asyncio.run(RequestIdMiddleware(RecordingMiddleware(app))(scope, None, send))
    return sent


def test_a_call_is_one_row_with_its_status(rows):
    async def answers(scope, receive, send):
        await send(START)
        await send(BODY)

    assert [message["type"] for message in call(answers)] == [START["type"], BODY["type"]]
    assert [(row.endpoint, row.status, row.outcome) for row in rows] == [("/audit", 200, "ok")]


def test_a_call_that_fails_before_its_answer_is_one_row_with_500(rows):
    async def fails(scope, receive, send):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        call(fails)
    assert [(row.status, row.outcome) for row in rows] == [(500, "internal-server-error")]


def test_a_call_that_fails_in_the_middle_of_its_answer_is_one_row_and_no_second(rows):
    async def fails(scope, receive, send):
        await send(START)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        call(fails)
    assert [row.status for row in rows] == [200]


def test_the_row_of_an_answer_that_says_no_names_no_finding(rows):
    """A film of a batch was judged before another could not be, or the time was over: nobody was told of it."""

    async def judges_and_refuses(scope, receive, send):
        current_call().films = 1
        current_call().predictions.append(prediction())
        await send(START | {"status": 503})
        await send(BODY)

    call(judges_and_refuses, path="/predict")
    [row] = rows
    assert (row.status, row.outcome) == (503, "service-unavailable")
    assert {row.prediction, row.confidence, row.inference_time_ms, row.image_sha256, row.prediction_id} == {None}


def test_a_call_that_is_given_up_is_on_record(rows):
    async def gives_up(scope, receive, send):
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        call(gives_up)
    assert [row.status for row in rows] == [500]


def test_a_call_that_stores_a_report_is_one_row_with_it(rows):
    async def reports(scope, receive, send):
        assert await recording.record_with(NewReport("feedback", {"prediction_id": "a-film"}), 201) == 7
        await send(START | {"status": 201})
        await send(BODY)

    call(reports, path="/feedback")
    assert [(row.status, row.prediction_id) for row in rows] == [(201, "a-film")]


def test_a_call_that_needs_no_row_leaves_none(rows):
    async def refuses(scope, receive, send):
        current_call().needs_row = False
        await send(START | {"status": 429})
        await send(BODY)

    call(refuses)
    assert rows == []


@pytest.fixture
def no_database(monkeypatch):
    def append(entry, predictions=(), report=None):
        done = Future()
        done.set_exception(RecordsUnavailable("away"))
        return done

    monkeypatch.setattr(recording, "running_service", lambda: SimpleNamespace(records=SimpleNamespace(append=append)))


def answers_after_counting(counted, status=200):
    async def answers(scope, receive, send):
        current_call().counts.append(lambda: counted.append(status))
        await send(START | {"status": status})
        await send(BODY)

    return answers


def test_what_an_answer_counts_is_counted_once_and_only_if_the_answer_is_on_record_and_no_refusal(rows):
    counted = []
    for status in (200, 503, 504, 400):
        call(answers_after_counting(counted, status), path="/predict")
    assert counted == [200]


def test_an_answer_that_is_held_back_counts_nothing(no_database):
    counted = []
    call(answers_after_counting(counted), path="/predict")
    assert counted == []


def test_an_answer_that_cannot_be_put_on_record_is_not_given(no_database):
    async def answers(scope, receive, send):
        await send(START)
        await send(BODY)

    before = REGISTRY.get_sample_value(*WITHHELD) or 0, REGISTRY.get_sample_value(*TIMED) or 0
    start, body = call(answers)
    assert (REGISTRY.get_sample_value(*WITHHELD), REGISTRY.get_sample_value(*TIMED)) == (before[0] + 1, before[1] + 1)
    assert start["status"] == 503
    assert b"records-unavailable" in body["body"]


def test_a_web_socket_is_closed_before_anything_sees_it(rows):
    seen = []

    async def app(scope, receive, send):
        seen.append(scope)

    assert call(AdmissionMiddleware(app), "websocket", "/ui/x") == [{"type": "websocket.close"}]
    assert (seen, rows) == ([], [])
