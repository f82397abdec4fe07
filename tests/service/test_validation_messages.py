"""Refused values are answered with what they must be, in plain words: neither pydantic's text nor the value itself."""

import pytest

from service.errors import MalformedRequest
from service.http.body.reports import AuditQuery, FeedbackBody, IncidentBody, _parse

REPORT = {"request_id": "a", "label": "Normal"}
MOMENT = "must be a moment in ISO 8601 with a time zone, such as 2026-01-31T08:00:00Z"


@pytest.mark.parametrize(
    ("model", "values", "words"),
    [
        (FeedbackBody, {"request_id": "a"}, "label: is missing."),
        (FeedbackBody, REPORT | {"label": "TB"}, "label: must be 'Normal', 'Pneumonia' or 'Tuberculosis'."),
        (FeedbackBody, REPORT | {"index": 10}, "index: must be less than 10."),
        (FeedbackBody, REPORT | {"index": -1}, "index: must be 0 or more."),
        (FeedbackBody, REPORT | {"index": "x"}, "index: must be a whole number."),
        (FeedbackBody, REPORT | {"index": 1.5}, "index: must be a whole number."),
        (FeedbackBody, REPORT | {"request_id": "Jane Doe"}, "request_id: must be 1 to 128 letters, digits and . _ -."),
        (FeedbackBody, REPORT | {"request_id": 7}, "request_id: must be text."),
        (FeedbackBody, [], "the body: must be a JSON object."),
        (IncidentBody, REPORT | {"case_id": "c", "note": "x" * 2001}, "note: must have 2000 characters or fewer."),
        (
            IncidentBody,
            REPORT | {"case_id": "c", "note": "\0"},
            "note: must be plain text, without control characters.",
        ),
        (AuditQuery, {"since": "yesterday"}, f"since: {MOMENT}."),
        (AuditQuery, {"since": "2026-01-01T00:00:00"}, f"since: {MOMENT}."),
        (AuditQuery, {"since": "2026-13-01T00:00:00Z"}, f"since: {MOMENT}."),
        (AuditQuery, {"limit": "1001"}, "limit: must be 1000 or less."),
        (AuditQuery, {"user": "a\nb"}, "user: must be one line of plain text, without control characters."),
    ],
)
def test_a_value_that_is_refused_is_told_what_it_must_be(model, values, words):
    with pytest.raises(MalformedRequest) as refused:
        _parse(values, model)
    assert str(refused.value) == f"The request is not as /docs describes it. {words}"


def test_a_name_that_is_not_known_is_told_those_that_are():
    with pytest.raises(MalformedRequest, match=r"color: is not known here\. Known: since, until, user, endpoint"):
        _parse({"color": "red"}, AuditQuery)
