import asyncio
import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import timedelta

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text

from service.errors import MalformedRequest, PredictionNotFound, RecordsUnavailable, SettingsError
from service.records.database import MIGRATIONS, SCHEMA_VERSION, Database
from service.records.labels import confirmed_labels
from service.records.schema import metadata
from service.records.store import RecordStore
from service.records.values import AuditFilter, Feedback, Incident, PredictionName
from service.records.verification import verify_chain
from tests.support.recorded import MOMENT, digest, entry, of_request, prediction, report


@pytest.fixture
def store(records_url):
    store = RecordStore(records_url)
    store.open()
    yield store
    store.close()


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
    with pytest.raises(PredictionNotFound, match="film 3"):
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


def test_the_latest_label_of_a_film_counts_and_incidents_without_one_do_not(store):
    for number in range(3):
        store.append(entry(number), [prediction(number)]).result(30)
    report(store, Feedback(MOMENT, of_request(0), "Normal"))
    report(store, Feedback(MOMENT + timedelta(hours=2), of_request(0), "Tuberculosis"))
    report(store, Incident(MOMENT + timedelta(hours=1), "case-1", of_request(1), "Normal"))
    report(store, Incident(MOMENT, "case-2", of_request(2)))
    labels = [(row["request_id"], row["label"], row["kind"]) for row in confirmed_labels(store.database)]
    assert labels == [("request-1", "Normal", "incident"), ("request-0", "Tuberculosis", "feedback")]
    assert len(list(confirmed_labels(store.database, since=MOMENT + timedelta(hours=2)))) == 1


def test_tables_are_made_once_and_are_those_of_the_schema(records_url):
    for _ in range(2):
        database = Database(records_url)
        database.open(upgrade=True)
        with database.reading() as connection:
            context = MigrationContext.configure(connection, opts={"compare_type": True})
            assert compare_metadata(context, metadata) == []
        database.dispose()


def test_the_schema_version_is_the_newest_migration():
    assert ScriptDirectory(str(MIGRATIONS)).get_current_head() == SCHEMA_VERSION


def test_missing_or_newer_tables_are_refused_with_the_remedy(records_url):
    database = Database(records_url)
    with pytest.raises(SettingsError, match=r"(version None|no file).*cxr records upgrade"):
        database.open(upgrade=False)
    database.open(upgrade=True)
    with database.writing() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(SettingsError, match="9999"):
        database.open(upgrade=True)
    database.dispose()


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("nonsense", "no database URL"),
        ("mysql://root:secret@localhost/test", "'mysql'"),
        ("postgresql://root:secret@localhost:99999/test", "the port 99999, which is not between 1 and 65535"),
        ("postgresql://root:secret@localhost/test?ssl=on", 'that PostgreSQL does not know: invalid connection option "ssl"'),
        ("sqlite:///file:records.db?mode=ro&uri=true", "of which SQLite's takes none"),
        ("sqlite:///records.db?journal=off", "of which SQLite's takes none"),
        ("sqlite://", "no file"),
        ("sqlite:////proc/no/records.db", "cannot be written"),
        ("sqlite:////dev/null/records.db", "cannot be written"),
    ],
)
def test_a_database_that_cannot_be_used_is_named_with_the_remedy(url, complaint):
    with pytest.raises(SettingsError, match=complaint) as refused:
        Database(url).open(upgrade=True)
    assert "CXR_DATABASE_URL" in str(refused.value)
    assert "secret" not in str(refused.value)


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


def test_of_two_first_reports_at_once_one_is_the_first(store, records_url):
    """They were looked up, by two servers, before either was stored; a film is counted once all the same."""
    store.append(entry(), [prediction()]).result(30)
    other = RecordStore(records_url)
    stores = [store, other]
    reports = [
        each.feedback_report(Feedback(MOMENT, of_request(), label))
        for each, label in zip(stores, ("Normal", "Pneumonia"), strict=True)
    ]
    waiting = [each.append(entry(1), report=new) for each, new in zip(stores, reports, strict=True)]
    stored = sorted((done.result(30) for done in waiting), key=lambda each: not each.is_first)
    assert [(each.is_first, each.is_first_label) for each in stored] == [(True, True), (False, False)]
    assert [each.corrected_from is None for each in stored] == [True, False]
    other.close()


def test_feedback_and_incident_are_first_of_their_kind_and_of_one_label(store):
    store.append(entry(), [prediction()]).result(30)
    about = of_request()
    said = [
        Incident(MOMENT, "case", about),
        Feedback(MOMENT, about, "Normal"),
        Incident(MOMENT, "case", about, "Normal"),
        Feedback(MOMENT, about, "Pneumonia"),
    ]
    stored = [report(store, replace(each, timestamp=MOMENT + timedelta(hours=hour))) for hour, each in enumerate(said)]
    assert [each.is_first for each in stored] == [True, True, False, False]
    assert [each.is_first_label for each in stored] == [False, True, False, False]
    assert [each.corrected_from for each in stored] == [None, None, None, "Normal"]


@pytest.mark.parametrize("seconds", [0, -1])
@pytest.mark.parametrize("kinds", [(Incident, Feedback), (Feedback, Incident), (Feedback, Feedback)])
def test_the_last_label_stored_is_the_last_whatever_the_clocks_say(store, kinds, seconds):
    """Two reports at once, or of two servers: one was answered that it corrects the other, and the export must say the same."""
    store.append(entry(), [prediction()]).result(30)
    moments = MOMENT, MOMENT + timedelta(seconds=seconds)
    new = [
        store.feedback_report(Feedback(moment, of_request(), label))
        if kind is Feedback
        else store.incident_report(Incident(moment, "case", of_request(), label))
        for kind, moment, label in zip(kinds, moments, ("Normal", "Pneumonia"), strict=True)
    ]
    assert [store.append(entry(1), report=each).result(30).corrected_from for each in new] == [None, "Normal"]
    [film] = confirmed_labels(store.database)
    assert (film["label"], film["corrected_from"]) == ("Pneumonia", "Normal")


def test_a_corrected_label_says_what_it_was_before(store):
    """Film 0 is sent twice: its label is that of its last report, of whichever prediction."""
    for number, film in enumerate((0, 1, 0, 3)):
        store.append(entry(number), [prediction(number, image_sha256=digest(film))]).result(30)
    hours = iter(range(24))

    def say(kind, number, *values):
        moment = MOMENT + timedelta(hours=next(hours))
        report(
            store,
            kind(moment, of_request(number), *values)
            if kind is Feedback
            else kind(moment, "case", of_request(number), *values),
        )

    say(Feedback, 0, "Normal")
    say(Feedback, 1, "Normal")
    say(Feedback, 3, "Pneumonia")
    say(Incident, 3, "Tuberculosis")
    say(Feedback, 3, "Tuberculosis")
    say(Incident, 1)
    say(Feedback, 2, "Pneumonia")
    found = [(row["request_id"], row["kind"], row["label"], row["corrected_from"]) for row in confirmed_labels(store.database)]
    assert found == [
        ("request-1", "feedback", "Normal", None),
        ("request-3", "feedback", "Tuberculosis", "Pneumonia"),
        ("request-2", "feedback", "Pneumonia", "Normal"),
    ]
    lately = confirmed_labels(store.database, since=MOMENT + timedelta(hours=5))
    assert [(row["request_id"], row["corrected_from"]) for row in lately] == [("request-2", "Normal")]


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
