import asyncio
from concurrent.futures import Future
from types import SimpleNamespace

import pytest
from prometheus_client import REGISTRY

from service.errors import RecordsUnavailable
from service.http.call import begin_call, current_call
from service.http.middleware.recording import RecordingMiddleware, record_with
from service.records.values import NewReport
from tests.support.server.recorded import prediction

# How metrics show an answer that was held back.
WITHHELD = ("cxr_rejections_total", {"problem": "records-unavailable"})
TIMED = ("cxr_request_seconds_count", {"endpoint": "/audit", "status": "503"})

START = {"type": "http.response.start", "status": 200, "headers": []}
BODY = {"type": "http.response.body", "body": b"{}"}


class Records:
    """Stands for the record store. rows: audit entries. is_away: whether the database cannot be reached."""

    def __init__(self, is_away=False):
        self.rows, self.is_away = [], is_away

    def append(self, entry, predictions=(), report=None):
        done = Future()
        if self.is_away:
            done.set_exception(RecordsUnavailable("away"))
        else:
            self.rows.append(entry)
            done.set_result(7 if report else None)
        return done


@pytest.fixture
def records():
    return Records()


def call(app, records, path="/audit"):
    """What is sent for one request to an application behind the middleware."""
    sent = []

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": path, "headers": []}
    begin_call(scope)
    asyncio.run(RecordingMiddleware(app, SimpleNamespace(records=records))(scope, None, send))
    return sent


def answering(status=200, prepare=lambda call: None):
    """An application that answers with a status. prepare: what it does to the call before."""

    async def answers(scope, receive, send):
        prepare(current_call())
        await send(START | {"status": status})
        await send(BODY)

    return answers


@pytest.mark.parametrize(
    ("fault", "begins", "expected"),
    [
        (ZeroDivisionError, False, (500, "internal-server-error")),
        (ZeroDivisionError, True, (200, "ok")),
        (asyncio.CancelledError, False, (500, "internal-server-error")),  # the client went away
    ],
)
def test_a_call_that_fails_before_or_in_the_middle_of_its_answer_is_one_row(records, fault, begins, expected):
    async def fails(scope, receive, send):
        if begins:
            await send(START)
        raise fault

    with pytest.raises(fault):
        call(fails, records)
    assert [(row.status, row.outcome) for row in records.rows] == [expected]


def test_the_row_of_an_answer_that_says_no_names_no_finding(records):
    """A film of a batch was judged before another could not be, or the time was over: nobody was told of it."""

    def judge(call):
        call.films = 1
        call.predictions.append(prediction())

    call(answering(503, judge), records, "/predict")
    [row] = records.rows
    assert (row.status, row.outcome) == (503, "service-unavailable")
    assert {row.prediction, row.confidence, row.inference_time_ms, row.image_sha256, row.prediction_id} == {None}


def test_a_call_that_stores_a_report_is_one_row_with_it(records):
    async def reports(scope, receive, send):
        assert await record_with(records, NewReport("feedback", {"prediction_id": "a-film"}), 201) == 7
        await answering(201)(scope, receive, send)

    call(reports, records, "/feedback")
    assert [(row.status, row.prediction_id) for row in records.rows] == [(201, "a-film")]


def test_a_call_that_needs_no_row_leaves_none(records):
    call(answering(429, lambda call: setattr(call, "needs_row", False)), records)
    assert records.rows == []


def test_an_answer_is_counted_once_and_only_if_it_is_on_record_and_no_refusal(records):
    counted = []
    for store, status in ((records, 200), (records, 503), (records, 504), (records, 400), (Records(is_away=True), 200)):
        count = (status, store.is_away)
        call(answering(status, lambda call, count=count: call.counts.append(lambda: counted.append(count))), store, "/predict")
    assert counted == [(200, False)]


def test_an_answer_that_cannot_be_put_on_record_is_withheld():
    before = REGISTRY.get_sample_value(*WITHHELD) or 0, REGISTRY.get_sample_value(*TIMED) or 0
    start, body = call(answering(), Records(is_away=True))
    assert (REGISTRY.get_sample_value(*WITHHELD), REGISTRY.get_sample_value(*TIMED)) == (before[0] + 1, before[1] + 1)
    assert start["status"] == 503
    assert b"records-unavailable" in body["body"]
