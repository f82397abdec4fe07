"""Verifies the audit log's hash chain."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, select

from service.records import schema
from service.records.chain import GENESIS, PERSONAL_FIELDS, personal_digest, row_hash
from service.records.values import utc_text

# Rows read at a time, so that a log of millions needs little memory.
_ROWS_AT_ONCE = 1000


@dataclass(frozen=True)
class Verification:
    """The result of `verify_chain`.

    first_seq, last_seq: of the whole log.
    """

    rows: int  # number of rows that hold, up to the first fault
    first_seq: int
    last_seq: int
    head: str  # "seq:hash" of the newest row
    fault: str | None  # what is wrong, None if the chain holds


class _Broken(Exception):
    """The chain does not hold; the message says where and why."""


def verify_chain(
    connection: Connection,
    secret: bytes | None,
    now: datetime,
    anonymise_days: int,
    expected_head: str | None = None,
    progress: Callable[[int], None] = lambda rows: None,
) -> Verification:
    """Check every row against the row before it, and both ends against `audit_state`.

    connection: see `Database.reading`.
    secret: the one that the rows were written with.
    anonymise_days: rows younger than this must not be anonymised.
    expected_head: a head noted earlier, "seq:hash", which the log must contain unless that row was deleted for its age.
    progress: called with the number of rows so far, once for every _ROWS_AT_ONCE.
    """
    state = connection.execute(select(schema.audit_state)).one()
    rows = 0
    fault = None
    try:
        for _ in _walk(connection, state, secret, utc_text(now - timedelta(days=anonymise_days)), expected_head):
            rows += 1
            if rows % _ROWS_AT_ONCE == 0:
                progress(rows)
    except _Broken as broken:
        fault = str(broken)
    return Verification(rows, state.deleted_seq + 1, state.last_seq, f"{state.last_seq}:{state.last_hash}", fault)


def _walk(connection: Connection, state: Any, secret: bytes | None, young: str, expected_head: str | None) -> Iterator[None]:
    seq, previous = state.deleted_seq, state.deleted_hash
    # Every log contains what it starts from.
    expected_seq, expected_hash = _head(expected_head or f"0:{GENESIS}")
    found = connection.execution_options(yield_per=_ROWS_AT_ONCE).execute(select(schema.audit).order_by(schema.audit.c.seq))
    _expect(expected_seq, expected_hash, seq, previous)
    for columns in found.mappings():
        row = dict(columns)
        if row["seq"] != seq + 1:
            raise _Broken(f"row {seq + 1} is missing; the next one is row {row['seq']}")
        seq = row["seq"]
        _check_personal(row, young)
        if row_hash(previous, row, secret) != row["hash"]:
            raise _Broken(f"row {seq} was changed, or was written with another audit secret")
        previous = row["hash"]
        _expect(expected_seq, expected_hash, seq, previous)
        yield
    if (seq, previous) != (state.last_seq, state.last_hash):
        raise _Broken(f"the log ends at row {seq}, and once ended at row {state.last_seq}; the rows between are missing")
    if expected_seq > seq:
        raise _Broken(f"the expected head is row {expected_seq}, and the log ends at row {seq}")


def _check_personal(row: Any, young: str) -> None:
    if row["salt"] is not None:
        if personal_digest(row) != row["personal_digest"]:
            raise _Broken(f"row {row['seq']} was changed in its personal fields")
    elif any(row[name] is not None for name in PERSONAL_FIELDS):
        raise _Broken(f"row {row['seq']} was anonymised, but still has personal fields")
    elif row["timestamp"] >= young:
        raise _Broken(f"row {row['seq']} of {row['timestamp']} was anonymised before its time")


def _expect(expected_seq: int, expected_hash: str, seq: int, found: str) -> None:
    if seq == expected_seq and found != expected_hash:
        raise _Broken(f"row {seq} does not have the expected hash; the log was written anew")


def _head(text: str) -> tuple[int, str]:
    seq, _, found = text.partition(":")
    return int(seq), found
