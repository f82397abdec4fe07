"""Databases of earlier releases, brought up to date with what is in them."""

import pytest
from sqlalchemy import text

from service.records import database as database_module
from service.records.database import Database
from service.records.labels import confirmed_labels
from service.records.store import RecordStore
from service.records.values import AuditFilter, Feedback, PredictionName
from service.records.verification import verify_chain
from tests.support.server.recorded import MOMENT, digest, entry, prediction, report

# Two audit rows as release 1.3.0 wrote them: their digests and hashes are copies of what it computed.
AUDIT = """
INSERT INTO audit (seq, timestamp, method, endpoint, status, outcome, role, prediction, confidence, inference_time_ms,
    model_version, request_id, user_id, address, image_sha256, salt, personal_digest, hash{columns})
VALUES (:seq, '2026-11-23T08:00:00.000000Z', 'POST', '/predict', 200, 'ok', 'clinician', 'Pneumonia', 0.92, 11.8,
    '{version}', :request_id, 'dr_who', '192.168.1.x', :image_sha256, :salt, :personal_digest, :hash{values})
"""
AUDIT_1_3 = AUDIT.format(version="1.1.0", columns="", values="")
AUDIT_1_6 = AUDIT.format(version="1.1.1", columns=", prediction_id", values=", :prediction_id")
DIGESTS_1_3 = [
    ("56e864d625cc702011b199d719bac5dcfe6a4e7f371fb1c005e4e0d026f6f99c",
     "cf88576f9b90f75b36c8017cab512d757ea86a6184c21e9f88c95d43b6d3e255"),
    ("47731a82d72d77d49802fa4ef1daf741bde1a3e4604da329a44b1bc96f22cdba",
     "e91dc3e2da5f1dc15dcaf65010c21432c00cb4edacae44574051a425bad771ba"),
]  # fmt: skip
# And two as release 1.6.0 wrote them.
DIGESTS_1_6 = [
    ("61c8c1f675de3e58b77cf718ac6a24a3b706c5f8d029deb86ad1d495561b5c63",
     "393c000e0ba880a8a9a26e87118a219c1b0dc6a6ca57bcd3f4dc641d27de2e6d"),
    ("fb1427c9db30d0f25f1b96666b0fafb02c079b6c6878163b47291b81e2081f10",
     "97a44c8a0429c916c149170dfdbbcad93f169aaba8fc11e3e7630c387937b019"),
]  # fmt: skip


def audit_rows(digests):
    return [
        {"seq": seq + 1, "request_id": f"request-{seq}", "image_sha256": "ab" * 32, "salt": f"{seq:032x}"}
        | {"personal_digest": personal_digest, "hash": row_hash, "prediction_id": f"01KB5V1T8N4Q6ZJ2X7R9WYCE{seq:02}"}
        for seq, (personal_digest, row_hash) in enumerate(digests)
    ]


PREDICTION = """
INSERT INTO predictions (timestamp, request_id, film_index, endpoint, user_id, model_version, image_sha256, image_format,
    width_px, height_px, prediction, confidence, probabilities, operating_point, prediction_set, review_reasons,
    inference_time_ms)
VALUES (:timestamp, :request_id, :film_index, '/predict', 'dr_who', '1.1.0', :image_sha256, 'png', 512, 400, 'Pneumonia', 0.92,
    '{"Pneumonia": 0.92}', 'balanced', '["Pneumonia"]', '[]', 11.8)
"""
REPORT = """
INSERT INTO {table} (timestamp, user_id, label, request_id, film_index, model_version, image_sha256, prediction, confidence,
    probabilities{columns})
VALUES (:timestamp, 'dr_who', :label, :request_id, :film_index, '1.1.0', :image_sha256, 'Pneumonia', 0.92,
    '{{"Pneumonia": 0.92}}'{values})
"""
FEEDBACK = REPORT.format(table="feedback", columns="", values="")
INCIDENT = REPORT.format(
    table="incidents", columns=", case_id, status, manual_review, retraining", values=", 'case-1', 'open', true, true"
)


def at(hour):
    return f"2026-11-23T{hour:02}:00:00.000000Z"


def row(hour, request_id="trace", film=0, index=0, **changes):
    values = {"timestamp": at(hour), "request_id": request_id, "film_index": index, "image_sha256": digest(film)}
    return values | changes


def write_audit(database, audit, digests):
    """Write two audit rows as their release did. audit: the statement that inserts them."""
    with database.writing() as connection:
        connection.execute(text(audit), audit_rows(digests))
        connection.execute(text("UPDATE audit_state SET last_seq = 2, last_hash = :hash"), {"hash": digests[-1][1]})


@pytest.fixture
def database_of(records_url, monkeypatch):
    """Factory: database_of(tables, audit, digests) -> a database whose tables have that version, with two audit rows."""
    database = Database(records_url)

    def make(tables, audit, digests):
        with monkeypatch.context() as release:
            release.setattr(database_module, "SCHEMA_VERSION", tables)
            database.open(upgrade=True)
        write_audit(database, audit, digests)
        return database

    yield make
    database.dispose()


@pytest.fixture
def old(database_of):
    """A database of release 1.3.0, with its first tables."""
    return database_of("0001", AUDIT_1_3, DIGESTS_1_3)


@pytest.fixture
def of_1_6(database_of):
    """A database of release 1.6.0."""
    return database_of("0002", AUDIT_1_6, DIGESTS_1_6)


def execute(database, statement, *rows):
    with database.writing() as connection:
        connection.execute(text(statement), list(rows))


def selected(database, query):
    with database.reading() as connection:
        return [tuple(found) for found in connection.execute(text(query))]


def verified(store):
    with store.database.reading() as connection:
        return verify_chain(connection, None, MOMENT, anonymise_days=90)


def test_old_reports_find_their_predictions_and_those_of_forgotten_ones_stay_as_they_are(old):
    """Under one trace identifier: two films, of which the first was sent twice; reports went to the latest of the time."""
    execute(old, PREDICTION, row(8, film=0), row(9, film=1), row(10, film=0), row(10, film=2, index=1))
    execute(old, FEEDBACK, row(8, film=0, label="Normal"), row(9, film=1, label="Normal"), row(11, film=0, label="Pneumonia"))
    execute(old, FEEDBACK, row(7, film=5, label="Normal"))  # whose prediction is forgotten
    execute(old, INCIDENT, row(11, film=2, index=1, label=None))
    old.open(upgrade=True)
    ids = [found for (found,) in selected(old, "SELECT prediction_id FROM predictions ORDER BY id")]
    assert len(set(ids)) == 4 and {len(each) for each in ids} == {26} and {each[:2] for each in ids} == {"00"}
    assert selected(old, "SELECT prediction_id FROM feedback ORDER BY id") == [(ids[0],), (ids[1],), (ids[2],), (None,)]
    assert selected(old, "SELECT prediction_id FROM incidents") == [(ids[3],)]
    labels = {row["image_sha256"]: (row["label"], row["corrected_from"]) for row in confirmed_labels(old)}
    assert labels == {digest(0): ("Pneumonia", "Normal"), digest(1): ("Normal", None), digest(5): ("Normal", None)}


def test_the_chain_goes_on_from_old_rows_and_holds(old, records_url):
    store = RecordStore(records_url)
    store.open()
    store.append(entry(3)).result(30)
    assert (verified(store).fault, verified(store).rows) == (None, 3)
    assert [row.prediction_id is None for row in store.audit_page(AuditFilter()).rows] == [True, True, False]
    store.close()


@pytest.mark.parametrize(("seq", "value"), [(1, "0" * 26), (3, None)])
def test_an_identifier_that_was_put_into_an_old_row_or_taken_from_a_new_one_is_found(old, records_url, seq, value):
    store = RecordStore(records_url)
    store.open()
    store.append(entry(3)).result(30)
    with store.database.writing() as connection:
        connection.execute(text("UPDATE audit SET prediction_id = :value WHERE seq = :seq"), {"value": value, "seq": seq})
    assert verified(store).fault == f"row {seq} was changed in its personal fields"
    store.close()


def test_a_server_of_the_release_before_goes_on_writing_until_it_is_replaced(old, records_url):
    """The migration runs beside old servers (k8s/base/migration.yaml): what they leave out, the database fills in."""
    store = RecordStore(records_url)
    store.open()
    execute(old, PREDICTION, row(8, "old-1"), row(9, "old-2", film=1))
    execute(old, FEEDBACK, row(9, "old-1", label="Normal"))
    [first, second] = selected(old, "SELECT prediction_id FROM predictions ORDER BY id")
    assert first != second
    assert store.find_prediction(PredictionName(request_id="old-2")).prediction_id == second[0]
    store.append(entry(1), [prediction(1)]).result(30)
    stored = report(store, Feedback(MOMENT, PredictionName(second[0]), "Normal"))
    assert (stored.is_first, stored.is_first_label) == (True, True)
    assert sorted(row["request_id"] for row in confirmed_labels(old)) == ["old-1", "old-2"]
    store.close()


def test_old_rows_name_no_site_profile_and_the_chain_goes_on_from_them(of_1_6, records_url):
    execute(of_1_6, PREDICTION, row(8))
    execute(of_1_6, FEEDBACK, row(9, label="Normal"))
    store = RecordStore(records_url)
    store.open()
    store.append(entry(1, site="st-mary-2"), [prediction(1, site="st-mary-2")]).result(30)
    store.append(entry(2), [prediction(2)]).result(30)
    assert (verified(store).fault, verified(store).rows) == (None, 4)
    assert [each.site for each in store.audit_page(AuditFilter()).rows] == [None, None, "st-mary-2", None]
    assert selected(of_1_6, "SELECT site FROM predictions ORDER BY id") == [(None,), ("st-mary-2",), (None,)]
    assert [each["site"] for each in confirmed_labels(of_1_6)] == [None]
    store.close()


@pytest.mark.parametrize(("seq", "value"), [(1, "st-mary-2"), (3, None), (3, "st-mary-1"), (4, "st-mary-2")])
def test_a_site_profile_that_was_put_into_a_row_changed_or_taken_from_it_is_found(of_1_6, records_url, seq, value):
    store = RecordStore(records_url)
    store.open()
    store.append(entry(3, site="st-mary-2")).result(30)
    store.append(entry(4)).result(30)
    with store.database.writing() as connection:
        connection.execute(text("UPDATE audit SET site = :value WHERE seq = :seq"), {"value": value, "seq": seq})
    assert verified(store).fault == f"row {seq} was changed, or was written with another audit secret"
    store.close()


def test_what_a_server_of_1_6_writes_until_it_is_replaced_names_no_profile_and_holds(records_url):
    store = RecordStore(records_url)
    store.open()
    write_audit(store.database, AUDIT_1_6, DIGESTS_1_6)
    execute(store.database, PREDICTION, row(8, "old-1"))
    store.append(entry(1, site="st-mary-2")).result(30)
    assert (verified(store).fault, verified(store).rows) == (None, 3)
    assert store.find_prediction(PredictionName(request_id="old-1")).site is None
    store.close()
