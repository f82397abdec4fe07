"""Confirmed labels of films, from feedback and incidents."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, RowMapping, Subquery, Table, literal, select, true, union_all

from service.records import schema
from service.records.database import Database
from service.records.values import utc_text

# Table -> the `kind` of its reports.
KIND_OF = {"feedback": "feedback", "incidents": "incident"}

_SHARED = (
    "id", "timestamp", "prediction_id", "request_id", "film_index", "image_sha256", "label", "prediction", "confidence",
    "probabilities", "model_version", "site",
)  # fmt: skip


def film_reports(connection: Connection, image_sha256: str) -> Sequence[RowMapping]:
    """All reports on a film, oldest first: columns of `feedback`, and `kind`."""
    reports = _reports()
    query = select(reports).where(reports.c.image_sha256 == image_sha256)
    return connection.execute(query.order_by(reports.c.timestamp, reports.c.kind, reports.c.id)).mappings().all()


def confirmed_labels(database: Database, since: datetime | None = None) -> Iterator[Mapping[str, Any]]:
    """Each film's last report that has a label, oldest first: columns of `feedback`, `kind` and `corrected_from`.

    A film is identified by its SHA-256, however often it was sent. corrected_from: the film's label before, None if all its
    labels agree. since: only films whose last label was given at this time or later. Incidents without a label are left out:
    they wait for their manual review. Raises RecordsUnavailable.
    """
    reports = _reports()
    query = select(reports).where(reports.c.label.is_not(None), reports.c.retraining)
    latest: dict[str, dict[str, Any]] = {}
    with database.reading() as connection:
        for row in connection.execute(query.order_by(reports.c.timestamp, reports.c.kind, reports.c.id)).mappings():
            before = latest.pop(row["image_sha256"], None)  # popped, so that films are in the order of their last reports
            latest[row["image_sha256"]] = dict(row) | {"corrected_from": _corrected_from(before, row["label"])}
    yield from (row for row in latest.values() if since is None or row["timestamp"] >= utc_text(since))


def _corrected_from(before: Mapping[str, Any] | None, label: str) -> str | None:
    if before is None:
        return None
    corrected: str | None = before["corrected_from"] if before["label"] == label else before["label"]
    return corrected


def _reports() -> Subquery:
    """Feedback and incidents as one table."""
    feedback, incidents = schema.feedback, schema.incidents
    return union_all(
        select(*_columns(feedback), true().label("retraining")), select(*_columns(incidents), incidents.c.retraining)
    ).subquery()


def _columns(table: Table) -> Iterator[ColumnElement[Any]]:
    yield literal(KIND_OF[table.name]).label("kind")
    yield from (table.c[name] for name in _SHARED)
