"""Reports and questions to the audit log, without a server."""

import asyncio
import json

import pytest
from starlette.requests import Request

from service.errors import MalformedRequest
from service.http.body.reports import AuditQuery, FeedbackBody, IncidentBody, read_query, read_report

FEEDBACK = {"request_id": "a", "label": "Normal"}
INCIDENT = {"request_id": "a", "case_id": "c"}

NAMELESS = "the body: name the film by the prediction_id of its answer, or by its request_id."
IDENTIFIER = "must be 1 to 128 letters, digits and . _ -."
WHOLE_NUMBER = "index: must be a whole number."
MOMENT = "must be a moment in ISO 8601 with a time zone, such as 2026-01-31T08:00:00Z."
LINE = "must be one line of plain text, without control characters."


def report(model, content):
    async def receive():
        return {"type": "http.request", "body": content, "more_body": False}

    return asyncio.run(read_report(Request({"type": "http", "headers": []}, receive), model, 5))


def query(text):
    return read_query(Request({"type": "http", "headers": [], "query_string": text.encode()}), AuditQuery)


@pytest.mark.parametrize(
    ("model", "body", "words"),
    [
        (FeedbackBody, {"label": "Normal"}, NAMELESS),
        (IncidentBody, {"prediction_id": None, "index": 0, "case_id": "c"}, NAMELESS),
        (FeedbackBody, [], "the body: must be a JSON object."),
        (FeedbackBody, {"request_id": "a"}, "label: is missing."),
        (FeedbackBody, FEEDBACK | {"label": "Covid"}, "label: must be 'Normal', 'Pneumonia' or 'Tuberculosis'."),
        (
            FeedbackBody,
            FEEDBACK | {"patient": "Doe"},
            "patient: is not known here. Known: prediction_id, request_id, index, label.",
        ),
        (FeedbackBody, FEEDBACK | {"prediction_id": "Jane Doe"}, f"prediction_id: {IDENTIFIER}"),
        (FeedbackBody, FEEDBACK | {"request_id": "x\n"}, f"request_id: {IDENTIFIER}"),
        (FeedbackBody, FEEDBACK | {"request_id": 7}, "request_id: must be text."),
        (FeedbackBody, FEEDBACK | {"index": 10}, "index: must be less than 10."),
        (FeedbackBody, FEEDBACK | {"index": -1}, "index: must be 0 or more."),
        *[(FeedbackBody, FEEDBACK | {"index": index}, WHOLE_NUMBER) for index in ("x", 1.5, True)],
        (IncidentBody, INCIDENT | {"index": False}, WHOLE_NUMBER),
        (IncidentBody, INCIDENT | {"case_id": "John Doe"}, f"case_id: {IDENTIFIER}"),
        (IncidentBody, INCIDENT | {"case_id": "c\n"}, f"case_id: {IDENTIFIER}"),
        (IncidentBody, INCIDENT | {"note": "n" * 2001}, "note: must have 2000 characters or fewer."),
        (IncidentBody, INCIDENT | {"note": "a\0b"}, "note: must be plain text, without control characters."),
    ],
)
def test_a_malformed_report_is_told_what_each_field_must_be_and_its_values_are_not_repeated(model, body, words):
    with pytest.raises(MalformedRequest) as refused:
        report(model, json.dumps(body).encode())
    assert str(refused.value) == f"The request is not as /docs describes it. {words}"


@pytest.mark.parametrize("content", [b"", b"{", b'{"label": "Normal", "label": "Normal"}', b"[" * 20_000])
def test_what_is_not_json_is_malformed(content):
    with pytest.raises(MalformedRequest):
        report(FeedbackBody, content)


@pytest.mark.parametrize("label", ["Normal", "Tuberculosis"])
def test_what_is_given_twice_is_refused_and_named(label):
    with pytest.raises(MalformedRequest, match="'label' is given more than once"):
        report(FeedbackBody, f'{{"request_id": "a", "label": "Normal", "label": "{label}"}}'.encode())
    with pytest.raises(MalformedRequest, match="'limit' is given more than once"):
        query("limit=1&limit=1")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("since=yesterday", f"since: {MOMENT}"),
        ("since=2026-11-23T08:00:00", f"since: {MOMENT}"),
        ("since=2026-13-01T00:00:00Z", f"since: {MOMENT}"),
        ("since=0001-01-01T00:00:00%2B10:00", "since: must be a moment between the years 1 and 9999 in UTC."),
        ("until=9999-12-31T23:59:59-10:00", "until: must be a moment between the years 1 and 9999 in UTC."),
        ("limit=0", "limit: must be 1 or more."),
        ("limit=1001", "limit: must be 1000 or less."),
        ("after=-1", "after: must be 0 or more."),
        ("color=red", "color: is not known here. Known: since, until, user, endpoint, after, limit."),
        ("user=%00", f"user: {LINE}"),
        ("endpoint=/predict%0A", f"endpoint: {LINE}"),
    ],
)
def test_a_wrong_question_to_the_log_is_malformed(text, words):
    with pytest.raises(MalformedRequest) as refused:
        query(text)
    assert str(refused.value) == f"The request is not as /docs describes it. {words}"
