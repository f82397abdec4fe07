"""Deletes and anonymises old records (REPORT 9.1 and 9.3), in small transactions, so that the service goes on writing."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Table, delete, func, select, update

from service.records import schema
from service.records.chain import PERSONAL_FIELDS
from service.records.database import Database
from service.records.values import RetentionPolicy, utc_text

# Of one transaction, which holds the write lock for a few milliseconds.
ROWS_AT_ONCE = 500

# Column -> what it is set to.
Values = Mapping[str, None]


@dataclass(frozen=True)
class Forgotten:
    """How many rows each rule concerned."""

    predictions_deleted: int
    audit_anonymised: int
    audit_deleted: int
    reports_anonymised: int


def apply_retention(database: Database, policy: RetentionPolicy, now: datetime, dry_run: bool = False) -> Forgotten:
    """Apply the policy to records older than its ages. dry_run: only count them.

    Raises RecordsUnavailable; transactions committed before that stay.
    """
    old_predictions = schema.predictions.c.timestamp < _before(now, policy.predictions)
    anonymise_before, delete_audit_before = _before(now, policy.anonymise), _before(now, policy.audit)
    anonymous = dict.fromkeys((*PERSONAL_FIELDS, "salt"))
    named_rows = (schema.audit.c.timestamp < anonymise_before) & schema.audit.c.salt.is_not(None)
    named_reports = [
        (table, (table.c.timestamp < anonymise_before) & table.c.user_id.is_not(None))
        for table in (schema.feedback, schema.incidents)
    ]

    def forget(table: Table, condition: ColumnElement[bool], values: Values | None = None) -> int:
        return _count(database, table, condition) if dry_run else _forget(database, table, condition, values)

    return Forgotten(
        predictions_deleted=forget(schema.predictions, old_predictions),
        audit_anonymised=forget(schema.audit, named_rows, anonymous),
        audit_deleted=_count(database, schema.audit, schema.audit.c.timestamp < delete_audit_before)
        if dry_run
        else sum(_cut_log(database, delete_audit_before)),
        reports_anonymised=sum(forget(table, named, {"user_id": None}) for table, named in named_reports),
    )


def _before(now: datetime, days: int) -> str:
    return utc_text(now - timedelta(days=days))


def _count(database: Database, table: Table, condition: ColumnElement[bool]) -> int:
    with database.reading() as connection:
        return connection.execute(select(func.count()).select_from(table).where(condition)).scalar_one()


def _forget(database: Database, table: Table, condition: ColumnElement[bool], values: Values | None) -> int:
    """Set `values` in the rows that meet the condition, or delete these rows; returns how many there were."""
    [key] = table.primary_key.columns
    some = key.in_(select(key).where(condition).order_by(key).limit(ROWS_AT_ONCE))
    statement = delete(table).where(some) if values is None else update(table).where(some).values(values)
    total = 0
    count = ROWS_AT_ONCE
    while count == ROWS_AT_ONCE:
        with database.writing() as connection:
            count = connection.execute(statement).rowcount
        total += count
    return total


def _cut_log(database: Database, before: str) -> Iterator[int]:
    """Delete the rows older than `before`, up to the first that is not, and store where the log now begins.

    Yields the number of rows that each transaction deleted.
    """
    columns = schema.audit.c
    oldest = select(columns.seq, columns.timestamp, columns.hash).order_by(columns.seq).limit(ROWS_AT_ONCE)
    done = ROWS_AT_ONCE
    while done == ROWS_AT_ONCE:
        with database.writing() as connection:
            # The chain's end is locked first, as appending does; locks in another order could deadlock.
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
