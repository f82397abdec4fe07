"""The records of a service, behind one door: append, look up, report back, read the audit log."""

import json
from collections.abc import Sequence
from concurrent.futures import Future
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, Table, select

from service.contract.errors import PredictionNotFound
from service.store import schema
from service.store.database import Database
from service.store.records import (
    AuditEntry,
    AuditFilter,
    AuditPage,
    AuditRow,
    Feedback,
    Incident,
    NewReport,
    PredictionRecord,
    utc_text,
)
from service.store.writer import AuditWriter

# Writing what waits takes milliseconds; a database that hangs must not keep the process from ending.
CLOSE_LIMIT_SECONDS = 10.0

_AUDIT_COLUMNS = [schema.audit.c[name] for name in AuditRow.__dataclass_fields__]

# What a report copies of the prediction that it is about.
_COPIED = ("request_id", "film_index", "model_version", "image_sha256", "prediction", "confidence", "probabilities")


class RecordStore:
    """url: see `Database`. upgrade: bring the tables up to date when opening. secret: see `chain.row_hash`.

    Every method but `open` raises RecordsUnavailable where the database does not do as asked. Raises ConfigError.
    """

    def __init__(self, url: str, *, upgrade: bool = True, secret: bytes | None = None) -> None:
        self.database = Database(url)
        self.secret = secret
        self._upgrade = upgrade
        self._is_open = False
        self._writer = AuditWriter(self.database, secret)

    def open(self) -> None:
        """Connect and compare the tables' version. Raises RecordsUnavailable (try again) or ConfigError (mend it)."""
        self.database.open(self._upgrade)
        self._is_open = True

    def close(self) -> None:
        """Write what waits, and close all connections."""
        self._writer.close(CLOSE_LIMIT_SECONDS)
        self.database.dispose()

    def check(self) -> None:
        """Whether the chain could be continued now; opens what could not be opened before. Raises ConfigError as well."""
        if not self._is_open:
            self.open()
        with self.database.reading() as connection:
            connection.execute(select(schema.audit_state.c.last_seq)).one()

    def append(
        self, entry: AuditEntry, predictions: Sequence[PredictionRecord] = (), report: NewReport | None = None
    ) -> "Future[int | None]":
        """Put a call on record, with what was predicted or reported. Done once that survives a crash of process and machine.

        The result is the number of the report, if there is one.
        """
        return self._writer.append(entry, predictions, report)

    def audit_page(self, wanted: AuditFilter, after_seq: int = 0, limit: int = 100) -> AuditPage:
        """Rows in the order of the log. after_seq: those behind this one. limit: at most so many."""
        query = _filtered(select(*_AUDIT_COLUMNS), wanted).where(schema.audit.c.seq > after_seq)
        with self.database.reading() as connection:
            found = connection.execute(query.order_by(schema.audit.c.seq).limit(limit + 1)).all()
            head = connection.execute(select(schema.audit_state.c.last_seq, schema.audit_state.c.last_hash)).one()
        rows = tuple(AuditRow(**row._mapping) for row in found[:limit])
        return AuditPage(rows, rows[-1].seq if len(found) > limit else None, f"{head.last_seq}:{head.last_hash}")

    def find_prediction(self, request_id: str, index: int = 0) -> PredictionRecord:
        """The latest of that identifier, which clients may choose and repeat. Raises PredictionNotFound."""
        with self.database.reading() as connection:
            return _record_of(_find(connection, request_id, index))

    def feedback_report(self, feedback: Feedback) -> NewReport:
        """What `append` is to store of a confirmed label. Raises PredictionNotFound."""
        own = {"timestamp": utc_text(feedback.timestamp), "user_id": feedback.user_id, "label": feedback.label}
        return self._report(schema.feedback, own, feedback.request_id, feedback.index)

    def incident_report(self, incident: Incident) -> NewReport:
        """What `append` is to store of a misdiagnosis, for review and retraining. Raises PredictionNotFound."""
        own = {
            "timestamp": utc_text(incident.timestamp),
            "user_id": incident.user_id,
            "case_id": incident.case_id,
            "label": incident.label,
            "note": incident.note,
            "status": "open",
            "manual_review": True,
            "retraining": True,
        }
        return self._report(schema.incidents, own, incident.request_id, incident.index)

    def _report(self, table: Table, own: dict[str, Any], request_id: str, index: int) -> NewReport:
        with self.database.reading() as connection:
            prediction = _find(connection, request_id, index)._mapping
            others = select(table.c.id).where(table.c.request_id == request_id, table.c.film_index == index).limit(1)
            is_first = connection.execute(others).one_or_none() is None
        return NewReport(table.name, own | {name: prediction[name] for name in _COPIED}, is_first)


def _filtered(query: Select[Any], wanted: AuditFilter) -> Select[Any]:
    columns = schema.audit.c
    if wanted.since is not None:
        query = query.where(columns.timestamp >= utc_text(wanted.since))
    if wanted.until is not None:
        query = query.where(columns.timestamp < utc_text(wanted.until))
    if wanted.user_id is not None:
        query = query.where(columns.user_id == wanted.user_id)
    if wanted.endpoint is not None:
        query = query.where(columns.endpoint == wanted.endpoint)
    return query


def _find(connection: Connection, request_id: str, index: int) -> Row[Any]:
    columns = schema.predictions.c
    query = select(schema.predictions).where(columns.request_id == request_id, columns.film_index == index)
    found = connection.execute(query.order_by(columns.id.desc()).limit(1)).one_or_none()
    if found is None:
        raise PredictionNotFound(
            f"No prediction of request_id {request_id!r} and film {index} is on record; predictions are kept for 90 days."
        )
    return found


def _record_of(row: Row[Any]) -> PredictionRecord:
    values = dict(row._mapping)
    del values["id"]
    values["index"] = values.pop("film_index")
    values["timestamp"] = datetime.fromisoformat(values["timestamp"])
    values["probabilities"] = json.loads(values["probabilities"])
    for name in ("prediction_set", "review_reasons"):
        values[name] = tuple(json.loads(values[name]))
    return PredictionRecord(**values)
