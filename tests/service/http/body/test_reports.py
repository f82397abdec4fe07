"""Reports and questions to the audit log, without a server."""

import asyncio
import json

import pytest
from starlette.requests import Request

from service.errors import MalformedRequest, OutOfTime, UploadTooLarge
from service.http.body.reports import AuditQuery, FeedbackBody, IncidentBody, read_query, read_report


def report(model, content):
    """The report of a body that comes at once; None: that never comes."""

    async def receive():
        if content is None:
            await asyncio.sleep(60)
        return {"type": "http.request", "body": content, "more_body": False}

    return asyncio.run(
        read_report(Request({"type": "http", "headers": []}, receive), model, 5 if content is not None else 0.01)
    )


@pytest.mark.parametrize(
    ("model", "body", "named"),
    [
        (FeedbackBody, {"label": "Normal"}, "prediction_id of its answer, or by its request_id"),
        (FeedbackBody, {"prediction_id": None, "index": 0, "label": "Normal"}, "prediction_id"),
        (FeedbackBody, {"prediction_id": "x y", "label": "Normal"}, "prediction_id"),
        (IncidentBody, {"case_id": "c"}, "prediction_id"),
        (FeedbackBody, {"request_id": "x", "label": "Covid"}, "label"),
        (FeedbackBody, {"request_id": "x", "label": "Normal", "patient": "Doe"}, "patient"),
        (FeedbackBody, {"request_id": "x y", "label": "Normal"}, "request_id"),
        (FeedbackBody, {"request_id": "x", "label": "Normal", "index": 10}, "index"),
        (FeedbackBody, {"request_id": "x", "label": "Normal", "index": True}, "index: must be a whole number"),
        (IncidentBody, {"request_id": "x", "case_id": "c", "index": False}, "index: must be a whole number"),
        (FeedbackBody, {"request_id": "x\n", "label": "Normal"}, "request_id"),
        (FeedbackBody, [], "the body"),
        (IncidentBody, {"request_id": "x", "case_id": "c\n"}, "case_id"),
        (IncidentBody, {"request_id": "x", "case_id": "John Doe"}, "case_id"),
        (IncidentBody, {"request_id": "x", "case_id": "c", "note": "n" * 2001}, "note"),
        (IncidentBody, {"request_id": "x", "case_id": "c", "note": "a\0b"}, "note"),
    ],
)
def test_a_malformed_report_is_refused_by_the_name_of_its_field_and_not_repeated(model, body, named):
    with pytest.raises(MalformedRequest) as refused:
        report(model, json.dumps(body).encode())
    assert named in str(refused.value)
    assert "Doe" not in str(refused.value)


@pytest.mark.parametrize("content", [b"", b"{", b'{"label": "Normal", "label": "Normal"}', b"[" * 20_000])
def test_what_is_not_json_is_malformed(content):
    with pytest.raises(MalformedRequest):
        report(FeedbackBody, content)


@pytest.mark.parametrize("label", ["Normal", "Tuberculosis"])
def test_what_is_given_twice_is_refused_and_named(label):
    with pytest.raises(MalformedRequest, match="'label' is given more than once"):
        report(FeedbackBody, f'{{"request_id": "a", "label": "Normal", "label": "{label}"}}'.encode())
    with pytest.raises(MalformedRequest, match="'limit' is given more than once"):
        read_query(Request({"type": "http", "headers": [], "query_string": b"limit=1&limit=1"}), AuditQuery)


def test_a_report_longer_than_any_note_is_too_large_and_one_that_never_comes_is_out_of_time():
    with pytest.raises(UploadTooLarge):
        report(FeedbackBody, b" " * 40_000)
    with pytest.raises(OutOfTime):
        report(FeedbackBody, None)


@pytest.mark.parametrize(
    "query",
    [
        "since=yesterday",
        "since=2026-11-23T08:00:00",
        "since=0001-01-01T00:00:00%2B10:00",
        "until=9999-12-31T23:59:59-10:00",
        "limit=0",
        "after=-1",
        "color=red",
        "limit=1&limit=2",
        "user=%00",
        "endpoint=/predict%0A",
    ],
)
def test_a_wrong_question_to_the_log_is_malformed(query):
    with pytest.raises(MalformedRequest):
        read_query(Request({"type": "http", "headers": [], "query_string": query.encode()}), AuditQuery)
