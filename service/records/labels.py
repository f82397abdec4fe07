"""The labels that clinicians confirmed, by feedback or with an incident: what a film's label is, and what it was before."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, RowMapping, Subquery, Table, literal, select, true, union_all

from service.records import schema
from service.records.database import Database
from service.records.values import utc_text

# Table -> what a report in it is called.
KIND_OF = {"feedback": "feedback", "incidents": "incident"}

_SHARED = (
    "id", "timestamp", "prediction_id", "request_id", "film_index", "image_sha256", "label", "prediction", "confidence",
    "probabilities", "model_version",
)  # fmt: skip


def film_reports(connection: Connection, image_sha256: str) -> Sequence[RowMapping]:
    """All reports on the film of those bytes, oldest first: columns of `feedback`, and `kind`."""
    reports = _reports()
    query = select(reports).where(reports.c.image_sha256 == image_sha256)
    return connection.execute(query.order_by(reports.c.timestamp, reports.c.kind, reports.c.id)).mappings().all()


def confirmed_labels(database: Database, since: datetime | None = None) -> Iterator[Mapping[str, Any]]:
    """The last report of each film that names a label, oldest first: columns of `feedback`, `kind` and `corrected_from`.

    A film is its bytes, however often they were sent. corrected_from: the label that the film had before its last one, None
    if all that were given agree. since: films whose last label is of this moment or later.

    An incident without a label says only that the prediction was wrong; it is for the manual review that it asks for.
    Raises RecordsUnavailable.
    """
    reports = _reports()
    query = select(reports).where(reports.c.label.is_not(None), reports.c.retraining)
    if since is not None:
        recent = _reports()
        query = query.where(
            reports.c.image_sha256.in_(select(recent.c.image_sha256).where(recent.c.timestamp >= utc_text(since)))
        )
    latest: dict[str, dict[str, Any]] = {}
    with database.reading() as connection:
        for row in connection.execute(query.order_by(reports.c.timestamp, reports.c.kind, reports.c.id)).mappings():
            before = latest.pop(row["image_sha256"], None)  # so that the film takes the place of its last report
            latest[row["image_sha256"]] = dict(row) | {"corrected_from": _corrected_from(before, row["label"])}
    yield from (row for row in latest.values() if since is None or row["timestamp"] >= utc_text(since))


def _corrected_from(before: Mapping[str, Any] | None, label: str) -> str | None:
    if before is None:
        return None
    corrected: str | None = before["corrected_from"] if before["label"] == label else before["label"]
    return corrected


def _reports() -> Subquery:
    """Both kinds as one table."""
    feedback, incidents = schema.feedback, schema.incidents
    return union_all(
        select(*_columns(feedback), true().label("retraining")), select(*_columns(incidents), incidents.c.retraining)
    ).subquery()


def _columns(table: Table) -> Iterator[ColumnElement[Any]]:
    yield literal(KIND_OF[table.name]).label("kind")
    yield from (table.c[name] for name in _SHARED)
