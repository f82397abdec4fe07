"""The record store: appends calls and predictions, finds predictions, prepares reports, reads the audit log."""

import json
from collections.abc import Sequence
from concurrent.futures import Future
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, Table, select

from service.errors import MalformedRequest, PredictionNotFound
from service.records import schema
from service.records.database import Database
from service.records.values import (
    AuditEntry,
    AuditFilter,
    AuditPage,
    AuditRow,
    Feedback,
    Incident,
    NewReport,
    PredictionName,
    PredictionRecord,
    StoredReport,
    utc_text,
)
from service.records.writer import AuditWriter
from service.settings import Settings

# Writing the waiting rows takes milliseconds; a database that hangs must not keep the process from ending.
CLOSE_LIMIT_SECONDS = 10.0

_AUDIT_COLUMNS = [schema.audit.c[name] for name in AuditRow.__dataclass_fields__]

# Columns that a report copies from its prediction.
_COPIED = (
    "prediction_id", "request_id", "film_index", "model_version", "site", "image_sha256", "prediction", "confidence",
    "probabilities",
)  # fmt: skip


class RecordStore:
    """The records in one database. Every method raises RecordsUnavailable if the database fails.

    url: see `Database`. upgrade: upgrade older tables when opening. secret: see `chain.row_hash`. Raises SettingsError.
    """

    def __init__(self, url: str, *, upgrade: bool = True, secret: bytes | None = None) -> None:
        self.database = Database(url)
        self.secret = secret
        self._upgrade = upgrade
        self._is_open = False
        self._writer = AuditWriter(self.database, secret)

    @classmethod
    def from_settings(cls, settings: Settings) -> "RecordStore":
        """The records that the settings name, not opened yet. Raises SettingsError."""
        secret = settings.audit_secret.get_secret_value().encode() if settings.audit_secret else None
        return cls(settings.database_url, upgrade=settings.database_upgrade, secret=secret)

    def open(self) -> None:
        """Connect and compare the tables' version. Raises RecordsUnavailable (try again) or SettingsError (mend it first)."""
        self.database.open(self._upgrade)
        self._is_open = True

    def close(self) -> None:
        """Write the waiting rows and close all connections."""
        self._writer.close(CLOSE_LIMIT_SECONDS)
        self.database.dispose()

    def check(self) -> None:
        """Check that the chain's end can be read; opens the database if that failed before. Raises SettingsError as well."""
        if not self._is_open:
            self.open()
        with self.database.reading() as connection:
            connection.execute(select(schema.audit_state.c.last_seq)).one()

    def append(
        self, entry: AuditEntry, predictions: Sequence[PredictionRecord] = (), report: NewReport | None = None
    ) -> "Future[StoredReport | None]":
        """Store a call with its predictions or its report. Done once they survive a crash of process and machine.

        The result describes the stored report, if there is one.
        """
        return self._writer.append(entry, predictions, report)

    def audit_page(self, wanted: AuditFilter, after_seq: int = 0, limit: int = 100) -> AuditPage:
        """At most `limit` rows behind row `after_seq`, in the order of the log."""
        query = _filtered(select(*_AUDIT_COLUMNS), wanted).where(schema.audit.c.seq > after_seq)
        with self.database.reading() as connection:
            found = connection.execute(query.order_by(schema.audit.c.seq).limit(limit + 1)).all()
            head = connection.execute(select(schema.audit_state.c.last_seq, schema.audit_state.c.last_hash)).one()
        rows = tuple(AuditRow(**row._mapping) for row in found[:limit])
        return AuditPage(rows, rows[-1].seq if len(found) > limit else None, f"{head.last_seq}:{head.last_hash}")

    def find_prediction(self, name: PredictionName) -> PredictionRecord:
        """Find a prediction. Raises PredictionNotFound, or MalformedRequest if several match or the name contradicts itself."""
        with self.database.reading() as connection:
            return _record_of(_find(connection, name))

    def feedback_report(self, feedback: Feedback) -> NewReport:
        """Prepare a confirmed label for `append`. Raises as `find_prediction` does."""
        own = {"timestamp": utc_text(feedback.timestamp), "user_id": feedback.user_id, "label": feedback.label}
        return self._report(schema.feedback, own, feedback.about)

    def incident_report(self, incident: Incident) -> NewReport:
        """Prepare a misdiagnosis for `append`, marked for review and retraining. Raises as `find_prediction` does."""
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
        return self._report(schema.incidents, own, incident.about)

    def _report(self, table: Table, own: dict[str, Any], about: PredictionName) -> NewReport:
        with self.database.reading() as connection:
            prediction = _find(connection, about)._mapping
        return NewReport(table.name, own | {name: prediction[name] for name in _COPIED})


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


def _find(connection: Connection, name: PredictionName) -> Row[Any]:
    columns = schema.predictions.c
    query = select(schema.predictions)
    if name.prediction_id is not None:
        query, said = query.where(columns.prediction_id == name.prediction_id), f"prediction_id {name.prediction_id!r}"
    else:
        query, said = query.where(columns.request_id == name.request_id), f"request_id {name.request_id!r}"
        if name.index is not None:
            query, said = query.where(columns.film_index == name.index), f"{said} and film {name.index}"
    found = connection.execute(query.limit(2)).all()
    if not found:
        raise PredictionNotFound(f"No prediction of {said} is on record; predictions are kept for 90 days by default.")
    if len(found) > 1:  # clients choose request identifiers, and may use one for many films
        raise MalformedRequest(f"Several predictions have {said}; send the prediction_id that the film's answer gave.")
    [row] = found
    if name.request_id not in (None, row.request_id) or name.index not in (None, row.film_index):
        raise MalformedRequest(
            "The prediction_id and the request_id or index name different predictions; send the prediction_id alone."
        )
    return row


def _record_of(row: Row[Any]) -> PredictionRecord:
    values = dict(row._mapping)
    del values["id"]
    values["index"] = values.pop("film_index")
    values["timestamp"] = datetime.fromisoformat(values["timestamp"])
    values["probabilities"] = json.loads(values["probabilities"])
    for name in ("prediction_set", "review_reasons"):
        values[name] = tuple(json.loads(values[name]))
    return PredictionRecord(**values)
