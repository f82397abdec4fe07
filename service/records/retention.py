"""What is forgotten, and when (REPORT 9.1 and 9.3). In small transactions, so that the service goes on writing."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Table, delete, func, select, update

from service.records import schema
from service.records.chain import PERSONAL_FIELDS
from service.records.database import Database
from service.records.values import RetentionPolicy, utc_text

# A few milliseconds of the write lock.
ROWS_AT_ONCE = 500


@dataclass(frozen=True)
class Forgotten:
    """How many rows each rule concerned."""

    predictions_deleted: int
    audit_anonymised: int
    audit_deleted: int
    reports_anonymised: int


def apply_retention(database: Database, policy: RetentionPolicy, now: datetime, dry_run: bool = False) -> Forgotten:
    """Forget what is old enough; a second time there is nothing left to do. dry_run: only count.

    Raises RecordsUnavailable; what was forgotten until then stays so.
    """
    old_predictions = schema.predictions.c.timestamp < _before(now, policy.predictions)
    nameless = _before(now, policy.anonymise)
    anonymous = {schema.audit.c[name]: None for name in (*PERSONAL_FIELDS, "salt")}
    named_rows = (schema.audit.c.timestamp < nameless) & schema.audit.c.salt.is_not(None)
    named_reports = [
        (table, (table.c.timestamp < nameless) & table.c.user_id.is_not(None)) for table in (schema.feedback, schema.incidents)
    ]
    if dry_run:
        return Forgotten(
            predictions_deleted=_count(database, schema.predictions, old_predictions),
            audit_anonymised=_count(database, schema.audit, named_rows),
            audit_deleted=_count(database, schema.audit, schema.audit.c.timestamp < _before(now, policy.audit)),
            reports_anonymised=sum(_count(database, table, named) for table, named in named_reports),
        )
    return Forgotten(
        predictions_deleted=sum(_deletions(database, schema.predictions, old_predictions)),
        audit_anonymised=sum(_updates(database, schema.audit, named_rows, anonymous)),
        audit_deleted=sum(_cut_log(database, _before(now, policy.audit))),
        reports_anonymised=sum(
            count for table, named in named_reports for count in _updates(database, table, named, {table.c.user_id: None})
        ),
    )


def _before(now: datetime, days: int) -> str:
    return utc_text(now - timedelta(days=days))


def _count(database: Database, table: Table, condition: ColumnElement[bool]) -> int:
    with database.reading() as connection:
        return connection.execute(select(func.count()).select_from(table).where(condition)).scalar_one()


def _some(table: Table, condition: ColumnElement[bool]) -> Any:
    [key] = table.primary_key.columns
    return key.in_(select(key).where(condition).order_by(key).limit(ROWS_AT_ONCE))


def _deletions(database: Database, table: Table, condition: ColumnElement[bool]) -> Iterator[int]:
    done = ROWS_AT_ONCE
    while done == ROWS_AT_ONCE:
        with database.writing() as connection:
            done = connection.execute(delete(table).where(_some(table, condition))).rowcount
        yield done


def _updates(database: Database, table: Table, condition: ColumnElement[bool], values: dict[Any, None]) -> Iterator[int]:
    done = ROWS_AT_ONCE
    while done == ROWS_AT_ONCE:
        with database.writing() as connection:
            done = connection.execute(update(table).where(_some(table, condition)).values(values)).rowcount
        yield done


def _cut_log(database: Database, before: str) -> Iterator[int]:
    """Delete the oldest rows, never one behind a younger one, and note where the log begins from then on."""
    columns = schema.audit.c
    oldest = select(columns.seq, columns.timestamp, columns.hash).order_by(columns.seq).limit(ROWS_AT_ONCE)
    done = ROWS_AT_ONCE
    while done == ROWS_AT_ONCE:
        with database.writing() as connection:
            # Locked first, as an append does: the two then wait for each other in one order.
            connection.execute(select(schema.audit_state.c.last_seq).with_for_update()).one()
            done = 0
            last = None
            for row in connection.execute(oldest):
                if row.timestamp >= before:
                    break
                done, last = done + 1, row
            if last is not None:
                connection.execute(delete(schema.audit).where(columns.seq <= last.seq))
                connection.execute(update(schema.audit_state).values(deleted_seq=last.seq, deleted_hash=last.hash))
        yield done
