"""/feedback, /incidents and /audit: reports into the records, and the audit log out of them."""

import asyncio
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from http import HTTPStatus
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from service.http.body.reports import AuditQuery, FeedbackBody, IncidentBody, read_query, read_report
from service.http.call import current_call
from service.http.context import ServiceContext
from service.http.middleware.recording import record_with
from service.metrics import CORRECTIONS, INCIDENTS, count_feedback, model_labels
from service.model.site_profile import Site
from service.records.values import AuditFilter, Feedback, Incident, NewReport, StoredReport


def records_routes(context: ServiceContext) -> list[Route]:
    """Routes to mount at /."""
    return [
        Route("/feedback", partial(_feedback, context), methods=["POST"]),
        Route("/incidents", partial(_incidents, context), methods=["POST"]),
        Route("/audit", partial(_audit, context)),
    ]


async def _feedback(context: ServiceContext, request: Request) -> Response:
    body = await read_report(request, FeedbackBody, context.settings.timeout_seconds)
    feedback = Feedback(datetime.now(UTC), body.about(), body.label, current_call().user_id)
    report = await asyncio.to_thread(context.records.feedback_report, feedback)
    stored = await _store_and_count(context, report)
    answer = {
        "feedback_id": stored.number,
        **_prediction_facts(report),
        "label": body.label,
        "agrees": report.values["prediction"] == body.label,
        "corrected_from": stored.corrected_from,
    }
    return JSONResponse(answer, HTTPStatus.CREATED)


async def _incidents(context: ServiceContext, request: Request) -> Response:
    body = await read_report(request, IncidentBody, context.settings.timeout_seconds)
    incident = Incident(datetime.now(UTC), body.case_id, body.about(), body.label, body.note, current_call().user_id)
    report = await asyncio.to_thread(context.records.incident_report, incident)
    stored = await _store_and_count(context, report)
    if stored.is_first:  # a prediction counts once, even if it is reported again
        INCIDENTS.labels(*model_labels(report.values["model_version"], report.values["site"])).inc()
    answer = {
        "incident_id": stored.number,
        "case_id": body.case_id,
        **_prediction_facts(report),
        "label": body.label,
        "corrected_from": stored.corrected_from,
        **{name: report.values[name] for name in ("status", "manual_review", "retraining")},
    }
    return JSONResponse(answer, HTTPStatus.CREATED)


async def _audit(context: ServiceContext, request: Request) -> Response:
    query = read_query(request, AuditQuery)
    wanted = AuditFilter(since=query.since, until=query.until, user_id=query.user, endpoint=query.endpoint)
    page = await asyncio.to_thread(context.records.audit_page, wanted, query.after, query.limit)
    answer: dict[str, Any] = {
        "rows": [asdict(row) for row in page.rows],
        "next": page.next_after_seq,
        "head": page.head,
    }
    return JSONResponse(answer)


def _prediction_facts(report: NewReport) -> dict[str, Any]:
    """The members of the answer that identify the prediction."""
    values = report.values
    return {
        "prediction_id": values["prediction_id"],
        "request_id": values["request_id"],
        "index": values["film_index"],
        "model_version": values["model_version"],
        "site": values["site"] and Site.parse(values["site"]).members(),
        "prediction": values["prediction"],
    }


async def _store_and_count(context: ServiceContext, report: NewReport) -> StoredReport:
    """Store a feedback or an incident, and count its label.

    Only a prediction's first label counts among the confirmed ones: counters cannot decrease, so a label that replaces another
    is counted as a correction instead.
    """
    stored = await record_with(context.records, report, HTTPStatus.CREATED)
    values = report.values
    model = model_labels(values["model_version"], values["site"])
    if stored.is_first_label:
        count_feedback(model, values["label"], values["prediction"], values["confidence"])
    if stored.corrected_from is not None:
        CORRECTIONS.labels(*model).inc()
    return stored
