import subprocess
import sys
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, insert, select, update

from service.records import schema
from service.records.chain import PERSONAL_FIELDS
from service.records.database import Database
from service.records.retention import ROWS_AT_ONCE, Forgotten, RetentionPolicy, apply_retention
from service.records.store import RecordStore
from service.records.verification import verify_chain
from tests.support.server.recorded import MOMENT, entry, prediction
from tests.support.server.serving import ROOT

SECRET = b"a secret of the operator"


def filled(url, rows, secret=None, moment_of=lambda number: MOMENT):
    store = RecordStore(url, secret=secret)
    store.open()
    for done in [
        store.append(entry(number, moment_of(number)), [prediction(number, moment_of(number))]) for number in range(rows)
    ]:
        done.result(30)
    store.close()
    return Database(url)


def verify(database, secret=None, **options):
    with database.reading() as connection:
        return verify_chain(connection, secret, MOMENT, anonymise_days=90, **options)


def test_an_untouched_log_holds(records_url):
    database = filled(records_url, 2500)
    found = verify(database)
    assert (found.fault, found.rows, found.first_seq, found.last_seq) == (None, 2500, 1, 2500)


@pytest.fixture(scope="module")
def chained(tmp_path_factory):
    return filled(f"sqlite:///{tmp_path_factory.mktemp('chain') / 'records.db'}", 12, SECRET)


CHANGES = {
    "timestamp": "2026-11-23T08:00:00.000001Z", "method": "GET", "endpoint": "/audit", "status": 201, "outcome": "no",
    "role": "admin", "prediction": "Normal", "confidence": 0.93, "inference_time_ms": 1.0, "model_version": "1.0.0",
    "request_id": "other", "user_id": "mr_hyde", "address": None, "image_sha256": "cd" * 32, "prediction_id": None,
    "site": "st-mary-1", "salt": "00" * 16, "personal_digest": "0" * 64, "hash": "f" * 64,
}  # fmt: skip


def test_every_column_is_covered():
    assert set(CHANGES) == set(schema.audit.c.keys()) - {"seq"}


def fault_after(database, change, **options):
    """What is found after a change, which is then taken back."""
    with database.engine.connect() as connection:
        change(connection)
        fault = verify_chain(connection, SECRET, MOMENT, anonymise_days=90, **options).fault
        connection.rollback()
    return fault


def change_row(seq, values):
    return lambda connection: connection.execute(update(schema.audit).where(schema.audit.c.seq == seq).values(values))


@settings(max_examples=120, deadline=None)
@given(seq=st.integers(1, 12), column=st.sampled_from(sorted(CHANGES)))
def test_any_changed_field_of_any_row_is_found(chained, seq, column):
    fault = fault_after(chained, change_row(seq, {column: CHANGES[column]}))
    assert fault is not None
    assert f"row {seq}" in fault or f"row {seq + 1}" in fault or "ended" in fault


@settings(max_examples=30, deadline=None)
@given(first=st.integers(1, 12), count=st.integers(1, 12))
def test_any_missing_rows_are_found(chained, first, count):
    rows = schema.audit.c.seq.between(first, first + count - 1)
    assert "missing" in fault_after(chained, lambda connection: connection.execute(delete(schema.audit).where(rows)))


@settings(max_examples=30, deadline=None)
@given(pair=st.lists(st.integers(1, 12), min_size=2, max_size=2, unique=True))
def test_any_two_rows_that_changed_places_are_found(chained, pair):
    def swap(connection):
        place = schema.audit.c.seq
        for old, new in ((pair[0], 99), (pair[1], pair[0]), (99, pair[1])):
            connection.execute(update(schema.audit).where(place == old).values(seq=new))

    assert fault_after(chained, swap) is not None


def test_a_row_that_was_slipped_in_is_found(chained):
    def slip_in(connection):
        row = dict(connection.execute(select(schema.audit).where(schema.audit.c.seq == 12)).mappings().one())
        connection.execute(insert(schema.audit).values(row | {"seq": 13}))

    assert "row 13" in fault_after(chained, slip_in)


def test_cutting_the_tail_and_the_state_with_it_is_found_by_a_noted_head(chained):
    noted = verify(chained, SECRET).head

    def cut(connection):
        last = connection.execute(select(schema.audit).where(schema.audit.c.seq == 10)).mappings().one()
        connection.execute(delete(schema.audit).where(schema.audit.c.seq > 10))
        connection.execute(update(schema.audit_state).values(last_seq=10, last_hash=last["hash"]))

    assert fault_after(chained, cut) is None
    assert "expected head" in fault_after(chained, cut, expected_head=noted)
    assert verify(chained, SECRET, expected_head=noted).fault is None
    assert "written anew" in verify(chained, SECRET, expected_head="12:" + "0" * 64).fault


def test_without_the_secret_the_chain_can_be_neither_checked_nor_forged(chained):
    assert verify(chained, SECRET).fault is None
    assert "row 1" in verify(chained, None).fault
    assert "row 1" in verify(chained, b"another secret").fault


WRITE_UNTIL_KILLED = """
import sys
from service.records.store import RecordStore
from tests.support.server.recorded import entry, prediction

store = RecordStore(sys.argv[1])
store.open()
number = 0
while True:
    waiting = [(n, store.append(entry(n), [prediction(n)])) for n in range(number, number + 7)]
    for n, done in waiting:
        done.result()
        print(n, flush=True)
    number += 7
"""


@pytest.mark.slow
def test_what_was_acknowledged_survives_a_kill(records_url):
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITE_UNTIL_KILLED, records_url], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    acknowledged = [int(writer.stdout.readline()) for _ in range(200)]
    writer.kill()
    acknowledged += [int(line) for line in writer.stdout.read().splitlines()]
    writer.wait()
    database = filled(records_url, 1)  # the next start is clean
    assert verify(database).fault is None
    with database.reading() as connection:
        kept = set(connection.execute(select(schema.audit.c.request_id)).scalars())
        predicted = set(connection.execute(select(schema.predictions.c.request_id)).scalars())
    assert {f"request-{number}" for number in acknowledged} <= kept
    assert kept == predicted


WRITE = """
import sys
from service.records.store import RecordStore
from tests.support.server.recorded import entry

store = RecordStore(sys.argv[1])
store.open()
for number in range(60):
    store.append(entry(number)).result()
"""


@pytest.mark.slow
def test_several_processes_write_one_chain(records_url):
    writers = [subprocess.Popen([sys.executable, "-c", WRITE, records_url], cwd=ROOT) for _ in range(3)]
    assert [writer.wait(120) for writer in writers] == [0, 0, 0]
    found = verify(Database(records_url))
    assert (found.fault, found.rows) == (None, 180)


def days_old(days):
    return MOMENT - timedelta(days=days)


def test_retention_forgets_what_is_old_enough_once_and_the_chain_still_holds(records_url):
    ages = [400, 366, 364, 91, 89, 0]
    database = filled(records_url, len(ages), moment_of=lambda number: days_old(ages[number]))
    counted = apply_retention(database, RetentionPolicy(), MOMENT, dry_run=True)
    forgotten = apply_retention(database, RetentionPolicy(), MOMENT)
    assert counted == forgotten == Forgotten(4, 4, 2, 0)
    with database.reading() as connection:
        rows = connection.execute(select(schema.audit).order_by(schema.audit.c.seq)).mappings().all()
    assert [row["user_id"] for row in rows] == [None, None, "dr_who", "dr_who"]
    assert {row[name] for row in rows[:2] for name in (*PERSONAL_FIELDS, "salt")} == {None}
    assert apply_retention(database, RetentionPolicy(), MOMENT) == Forgotten(0, 0, 0, 0)
    found = verify(database)
    assert (found.fault, found.rows, found.first_seq) == (None, 4, 3)
    # The log goes on from where it was.
    assert verify(filled(records_url, 3)).rows == 7


def test_retention_works_through_more_rows_than_one_transaction_takes(records_url):
    rows = 2 * ROWS_AT_ONCE + 1
    database = filled(records_url, rows, moment_of=lambda number: days_old(500))
    assert apply_retention(database, RetentionPolicy(), MOMENT) == Forgotten(rows, rows, rows, 0)
    assert verify(database).fault is None


def test_a_row_that_was_anonymised_before_its_time_is_found(chained):
    blank = dict.fromkeys((*PERSONAL_FIELDS, "salt"))
    fault = fault_after(chained, change_row(3, blank))
    assert "row 3" in fault
    assert "before its time" in fault


def test_a_young_row_behind_an_old_one_is_not_deleted_with_it(records_url):
    ages = [400, 1, 400]
    database = filled(records_url, 3, moment_of=lambda number: days_old(ages[number]))
    assert apply_retention(database, RetentionPolicy(), MOMENT).audit_deleted == 1
    assert verify(database).rows == 2
