"""Appends to the audit log: one thread commits all waiting rows together, then completes their futures."""

import json
import logging
import queue
import secrets
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, RowMapping, insert, select, update
from sqlalchemy.exc import DataError, IntegrityError, ProgrammingError

from service.errors import RecordsUnavailable
from service.records import schema
from service.records.chain import personal_digest, row_hash
from service.records.database import Database
from service.records.labels import KIND_OF, film_reports
from service.records.values import AuditEntry, NewReport, PredictionRecord, StoredReport, utc_text

logger = logging.getLogger(__name__)

# Largest number of rows in one commit.
MAX_GROUP = 256

_STATE = select(schema.audit_state.c.last_seq, schema.audit_state.c.last_hash).with_for_update()
_NEW_STATE = update(schema.audit_state)
_AUDIT = insert(schema.audit)
_PREDICTIONS = insert(schema.predictions)


@dataclass(frozen=True)
class _Item:
    entry: AuditEntry
    predictions: Sequence[PredictionRecord]
    report: NewReport | None
    done: "Future[StoredReport | None]"


class AuditWriter:
    """This process's only appending thread; other processes may append to the same log.

    secret: see `chain.row_hash`.
    """

    def __init__(self, database: Database, secret: bytes | None) -> None:
        self._database = database
        self._secret = secret
        self._waiting: queue.SimpleQueue[_Item | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._write, name="cxr-audit", daemon=True)
        self._starting = threading.Lock()

    def append(
        self, entry: AuditEntry, predictions: Sequence[PredictionRecord], report: NewReport | None
    ) -> "Future[StoredReport | None]":
        """Done once all is committed in one transaction. Fails with RecordsUnavailable if it was not, or may not have been.

        The result describes the stored report, if there is one.
        """
        item = _Item(entry, tuple(predictions), report, Future())
        # It can no longer be cancelled: a caller who stops waiting does not withdraw the row.
        item.done.set_running_or_notify_cancel()
        if self._thread.ident is None:
            with self._starting:
                if self._thread.ident is None:
                    self._thread.start()
        self._waiting.put(item)
        return item.done

    def close(self, timeout_seconds: float) -> None:
        """Write the waiting rows, then stop."""
        self._waiting.put(None)
        if self._thread.ident is not None:
            self._thread.join(timeout_seconds)

    def _write(self) -> None:
        ended = False
        while not ended:
            items, ended = self._next_group()
            if items:
                self._commit(items)

    def _next_group(self) -> tuple[list[_Item], bool]:
        """Wait for at least one item; returns the items, and whether the writer was closed."""
        items: list[_Item] = []
        item = self._waiting.get()
        while item is not None:
            items.append(item)
            if len(items) == MAX_GROUP:
                return items, False
            try:
                item = self._waiting.get_nowait()
            except queue.Empty:
                return items, False
        return items, True

    def _commit(self, items: list[_Item]) -> None:
        """Commit the group. If the database rejects a row, commit each half alone, so that a bad row fails only its caller."""
        try:
            with self._database.writing() as connection:
                self._append(connection, items)
                stored = [_insert(connection, item.report) for item in items]
        except Exception as fault:  # the thread must go on, and callers must be told
            if len(items) > 1 and _is_about_a_row(fault):
                middle = len(items) // 2
                self._commit(items[:middle])
                self._commit(items[middle:])
                return
            failure = fault if isinstance(fault, RecordsUnavailable) else _refusal(fault)
            for item in items:
                item.done.set_exception(failure)
        else:
            for item, report in zip(items, stored, strict=True):
                item.done.set_result(report)

    def _append(self, connection: Connection, items: list[_Item]) -> None:
        last_seq, last_hash = connection.execute(_STATE).one()
        rows = []
        for item in items:
            last_seq += 1
            row = _audit_row(item.entry) | {"seq": last_seq, "salt": secrets.token_hex(16)}
            row["personal_digest"] = personal_digest(row)
            row["hash"] = last_hash = row_hash(last_hash, row, self._secret)
            rows.append(row)
        connection.execute(_AUDIT, rows)
        predictions = [_prediction_row(prediction) for item in items for prediction in item.predictions]
        if predictions:
            connection.execute(_PREDICTIONS, predictions)
        connection.execute(_NEW_STATE, {"last_seq": last_seq, "last_hash": last_hash})


def _is_about_a_row(fault: Exception) -> bool:
    """Whether a row's values are at fault, so that other rows of the group may be accepted."""
    if isinstance(fault, RecordsUnavailable):
        return isinstance(fault.__cause__, DataError | IntegrityError | ProgrammingError)
    return True  # raised by the driver or the hash while reading a value


def _refusal(fault: Exception) -> RecordsUnavailable:
    logger.error("An audit row could not be written", exc_info=fault)
    refusal = RecordsUnavailable("The records do not take this call; the service's log says why.")
    refusal.__cause__ = fault
    return refusal


def _insert(connection: Connection, report: NewReport | None) -> StoredReport | None:
    """Store the report while the chain's end is locked, so that of two simultaneous reports on a film one sees the other."""
    if report is None:
        return None
    earlier = film_reports(connection, report.values["image_sha256"])
    of_prediction = [each for each in earlier if each["prediction_id"] == report.values["prediction_id"]]
    labels = [each["label"] for each in earlier if each["label"] is not None]
    table = schema.metadata.tables[report.table]
    values = {**report.values, "timestamp": _behind(earlier, report.values["timestamp"])}
    return StoredReport(
        number=connection.execute(insert(table).values(values).returning(table.c.id)).scalar_one(),
        is_first=all(each["kind"] != KIND_OF[report.table] for each in of_prediction),
        is_first_label=report.values["label"] is not None and all(each["label"] is None for each in of_prediction),
        corrected_from=labels[-1] if labels and report.values["label"] not in (None, labels[-1]) else None,
    )


def _behind(earlier: Sequence[RowMapping], timestamp: str) -> str:
    """The report's time, or a microsecond after the film's last report if that is not earlier.

    Servers' clocks may differ, but reports must sort in the order of storing, by which `corrected_from` was answered.
    """
    if not earlier or earlier[-1]["timestamp"] < timestamp:
        return timestamp
    return utc_text(datetime.fromisoformat(earlier[-1]["timestamp"]) + timedelta(microseconds=1))


def _audit_row(entry: AuditEntry) -> dict[str, Any]:
    return {**vars(entry), "timestamp": utc_text(entry.timestamp)}


def _prediction_row(record: PredictionRecord) -> dict[str, Any]:
    row = {**vars(record), "timestamp": utc_text(record.timestamp), "film_index": record.index}
    del row["index"]
    for name in ("prediction_set", "review_reasons"):
        row[name] = json.dumps(row[name])
    row["probabilities"] = json.dumps(dict(record.probabilities))
    return row
