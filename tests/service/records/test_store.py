import asyncio
import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import text

from service.errors import MalformedRequest, PredictionNotFound, RecordsUnavailable
from service.records.database import Database
from service.records.labels import confirmed_labels
from service.records.store import RecordStore
from service.records.values import AuditFilter, Feedback, Incident, PredictionName
from service.records.verification import verify_chain
from tests.support.server.recorded import MOMENT, digest, entry, of_request, prediction


def test_what_was_appended_is_read_back(store):
    said = prediction(1)
    store.append(entry(1), [said]).result(30)
    page = store.audit_page(AuditFilter())
    [row] = page.rows
    assert (row.seq, row.timestamp, row.user_id, row.confidence) == (1, "2026-11-23T08:00:00.000000Z", "dr_who", 0.92)
    assert page.head == f"1:{row.hash}"
    assert store.find_prediction(of_request(1)) == said


def test_predictions_of_one_request_id_are_told_apart_by_their_own_identifiers(store):
    """A trace identifier may be that of many films, of one film sent twice, and of a batch."""
    films = [prediction(0), prediction(0), prediction(0, index=1, image_sha256=digest(9))]
    for film in films:
        store.append(entry(), [film]).result(30)
    assert [store.find_prediction(PredictionName(film.prediction_id)) for film in films] == films
    assert store.find_prediction(of_request(0, 1)) == films[2]
    for several in (of_request(0), of_request(0, 0)):
        with pytest.raises(MalformedRequest, match=r"Several predictions have request_id 'request-0'.*send the prediction_id"):
            store.find_prediction(several)


@pytest.mark.parametrize(("request_id", "index"), [("request-2", None), ("request-1", 1), ("request-2", 0), (None, 1)])
def test_a_name_that_does_not_agree_with_itself_is_refused(store, request_id, index):
    film = prediction(1)
    store.append(entry(), [film, prediction(2)]).result(30)
    assert store.find_prediction(PredictionName(film.prediction_id, "request-1", 0)) == film
    with pytest.raises(MalformedRequest, match="different predictions; send the prediction_id alone"):
        store.find_prediction(PredictionName(film.prediction_id, request_id, index))


def test_an_unknown_prediction_is_not_found(store):
    store.append(entry(), [prediction()]).result(30)
    with pytest.raises(PredictionNotFound, match=r"film 3 is on record; predictions are kept for 90 days by default"):
        store.find_prediction(of_request(0, 3))
    with pytest.raises(PredictionNotFound, match="prediction_id '0"):
        store.find_prediction(PredictionName("0" * 26))
    with pytest.raises(PredictionNotFound):
        store.feedback_report(Feedback(MOMENT, of_request(7), "Normal"))
    with pytest.raises(PredictionNotFound):
        store.incident_report(Incident(MOMENT, "case-1", of_request(7)))


def test_the_log_is_read_in_pages_and_by_filter(store):
    users = ("ann", "bob")
    waiting = [
        store.append(entry(number, MOMENT + timedelta(minutes=number), user_id=users[number % 2], endpoint=f"/{number % 3}"))
        for number in range(12)
    ]
    for done in waiting:
        done.result(30)
    first = store.audit_page(AuditFilter(), limit=5)
    second = store.audit_page(AuditFilter(), after_seq=first.next_after_seq, limit=7)
    assert [row.seq for row in first.rows + second.rows] == list(range(1, 13))
    assert second.next_after_seq is None
    wanted = AuditFilter(MOMENT + timedelta(minutes=2), MOMENT + timedelta(minutes=9), "ann", "/2")
    assert [row.request_id for row in store.audit_page(wanted).rows] == ["request-2", "request-8"]


def test_a_server_that_is_away_makes_the_records_unavailable_and_its_password_stays_secret(caplog):
    store = RecordStore("postgresql://user:hush-hush@127.0.0.1:1/none")
    with pytest.raises(RecordsUnavailable):
        store.open()
    with pytest.raises(RecordsUnavailable):
        store.append(entry()).result(30)
    assert "hush-hush" not in caplog.text


def test_a_locked_database_fails_those_who_wait_and_works_again_when_it_is_free(tmp_path):
    store = RecordStore(f"sqlite:///{tmp_path / 'records.db'}")
    store.open()
    store.append(entry(1)).result(30)
    with Database(f"sqlite:///{tmp_path / 'records.db'}").writing():
        refused = store.append(entry(2))
        with pytest.raises(RecordsUnavailable):
            refused.result(30)
    store.append(entry(3)).result(30)
    assert [row.request_id for row in store.audit_page(AuditFilter()).rows] == ["request-1", "request-3"]
    store.close()


def test_closing_writes_what_waits(records_url):
    store = RecordStore(records_url)
    store.open()
    waiting = [store.append(entry(number)) for number in range(600)]
    store.close()
    assert all(done.done() and done.exception() is None for done in waiting)


def test_one_row_that_cannot_be_stored_does_not_end_the_writer(store):
    with pytest.raises(RecordsUnavailable):
        store.append(replace(entry(), method=None)).result(30)
    store.append(entry(1)).result(30)
    assert len(store.audit_page(AuditFilter()).rows) == 1


# SQLite stores text of any length, with null characters too.
TAKEN_BY_SQLITE = ({"user_id": "a\0b"}, {"method": "M" * 17})


@pytest.mark.parametrize("bad", [{"method": None}, {"user_id": "\ud800"}, {"status": 2**70}, *TAKEN_BY_SQLITE])
def test_one_bad_row_fails_its_own_caller_and_no_other_of_its_group(store, records_url, bad):
    with Database(records_url).writing() as other:
        other.execute(text("UPDATE audit_state SET deleted_seq = 0"))  # so that PostgreSQL's writers wait as well
        waiting = [store.append(entry(number, **(bad if number == 21 else {}))) for number in range(40)]
    refused = [number for number, done in enumerate(waiting) if done.exception(30) is not None]
    assert refused == ([] if store.database.is_sqlite and bad in TAKEN_BY_SQLITE else [21])
    kept = [row.request_id for row in store.audit_page(AuditFilter()).rows]
    assert sorted(kept) == sorted(f"request-{number}" for number in range(40) if number not in refused)
    with store.database.reading() as connection:
        assert verify_chain(connection, None, MOMENT, anonymise_days=90).fault is None


def test_a_report_is_stored_with_the_row_of_its_call_or_not_at_all(store):
    store.append(entry(1), [prediction(1)]).result(30)
    new = store.feedback_report(Feedback(MOMENT, of_request(1), "Normal"))
    unstorable = entry(2, outcome=None)
    with pytest.raises(RecordsUnavailable):
        store.append(unstorable, report=new).result(30)
    assert list(confirmed_labels(store.database)) == []
    assert store.append(entry(3), report=new).result(30).number == 1
    assert [row.request_id for row in store.audit_page(AuditFilter()).rows] == ["request-1", "request-3"]
    assert [row["label"] for row in confirmed_labels(store.database)] == ["Normal"]


def test_a_database_that_comes_late_is_opened_when_it_is_there(tmp_path):
    path = tmp_path / "records.db"
    store = RecordStore(f"sqlite:///{path}")
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(RecordsUnavailable):
            store.open()
        with pytest.raises(RecordsUnavailable):
            store.check()
        other.execute("ROLLBACK")
    store.check()
    store.append(entry(1)).result(30)
    store.close()


def test_who_gives_up_waiting_for_a_row_neither_takes_it_back_nor_ends_the_writer(store):
    async def give_up():
        asyncio.wrap_future(store.append(entry(1))).cancel()

    asyncio.run(give_up())
    store.append(entry(2)).result(30)
    assert [row.request_id for row in store.audit_page(AuditFilter()).rows] == ["request-1", "request-2"]
