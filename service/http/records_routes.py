"""The routes around the records: feedback and incidents in, the audit log out."""

import asyncio
from dataclasses import asdict
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from service.http.call import current_call
from service.http.recording import record_with
from service.http.reports import AuditQuery, FeedbackBody, IncidentBody, read_query, read_report
from service.http.running import running_service
from service.monitoring import INCIDENTS, count_feedback
from service.store.records import AuditFilter, Feedback, Incident


def records_routes() -> list[Route]:
    """Routes to mount at /."""
    return [
        Route("/feedback", _feedback, methods=["POST"]),
        Route("/incidents", _incidents, methods=["POST"]),
        Route("/audit", _audit, methods=["GET"]),
    ]


async def _feedback(request: Request) -> Response:
    body = await read_report(request, FeedbackBody, running_service().settings.timeout_seconds)
    feedback = Feedback(datetime.now(UTC), body.request_id, body.index, body.label, _user_id())
    report = await asyncio.to_thread(running_service().records.feedback_report, feedback)
    feedback_id = await record_with(report, HTTPStatus.CREATED)
    version, prediction = report.values["model_version"], report.values["prediction"]
    if report.is_first:  # a film counts once, however often it is reported
        count_feedback(version, body.label, prediction, report.values["confidence"])
    answer = {
        "feedback_id": feedback_id,
        "request_id": body.request_id,
        "index": body.index,
        "model_version": version,
        "prediction": prediction,
        "label": body.label,
        "agrees": prediction == body.label,
    }
    return JSONResponse(answer, HTTPStatus.CREATED)


async def _incidents(request: Request) -> Response:
    body = await read_report(request, IncidentBody, running_service().settings.timeout_seconds)
    incident = Incident(datetime.now(UTC), body.case_id, body.request_id, body.index, body.label, body.note, _user_id())
    report = await asyncio.to_thread(running_service().records.incident_report, incident)
    incident_id = await record_with(report, HTTPStatus.CREATED)
    if report.is_first:
        INCIDENTS.labels(report.values["model_version"]).inc()
    answer = {
        "incident_id": incident_id,
        "case_id": body.case_id,
        "request_id": body.request_id,
        "index": body.index,
        **{name: report.values[name] for name in ("model_version", "prediction", "status", "manual_review", "retraining")},
    }
    return JSONResponse(answer, HTTPStatus.CREATED)


async def _audit(request: Request) -> Response:
    query = read_query(request, AuditQuery)
    wanted = AuditFilter(since=query.since, until=query.until, user_id=query.user, endpoint=query.endpoint)
    page = await asyncio.to_thread(running_service().records.audit_page, wanted, query.after, query.limit)
    answer: dict[str, Any] = {
        "rows": [asdict(row) for row in page.rows],
        "next": page.next_after_seq,
        "head": page.head,
    }
    return JSONResponse(answer)


def _user_id() -> str | None:
    caller = current_call().caller
    return caller.user_id if caller else None
