import csv
import os
import subprocess
import sys
from datetime import timedelta

import pytest
from sqlalchemy import select, update

from service.commands.records import expire
from service.errors import SettingsError
from service.records import schema
from service.records.backup import back_up
from service.records.database import Database
from service.records.retention import RetentionPolicy, apply_retention
from service.records.store import RecordStore
from service.records.values import Feedback, Incident
from tests.support.server.recorded import MOMENT, digest, entry, of_request, prediction, report
from tests.support.server.serving import ROOT

pytestmark = pytest.mark.slow


@pytest.fixture
def store(store):
    for number in range(3):
        store.append(entry(number), [prediction(number)]).result(30)
    return store


def run(url, *arguments, **environment):
    return subprocess.run(
        [sys.executable, "-m", "service.commands.cxr", *arguments],
        cwd=ROOT,
        env=os.environ | {"CXR_DATABASE_URL": url} | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_verify_tells_a_log_that_holds_from_one_that_was_changed(store, records_url):
    held = run(records_url, "audit", "verify")
    assert (held.returncode, held.stderr) == (0, "")
    assert "3 rows, 1 to 3" in held.stdout
    head = held.stdout.split()[-1]
    assert run(records_url, "audit", "verify", "--expect", head).returncode == 0
    with store.database.writing() as connection:
        connection.execute(update(schema.audit).where(schema.audit.c.seq == 2).values(prediction="Normal"))
    broken = run(records_url, "audit", "verify")
    assert broken.returncode == 1
    assert "row 2 was changed" in broken.stderr


def test_an_empty_log_is_told_and_is_no_success(tmp_path):
    url = f"sqlite:///{tmp_path}/records.db"
    store = RecordStore(url)
    store.open()
    empty = run(url, "audit", "verify")
    assert empty.returncode == 3
    assert "is empty. Is it the right database?" in empty.stderr and "cxr records backup" in empty.stderr
    assert run(url, "audit", "verify", "--allow-empty").returncode == 0
    store.append(entry(0, MOMENT.replace(year=2020))).result(30)
    apply_retention(store.database, RetentionPolicy(), MOMENT)
    deleted = run(url, "audit", "verify")
    assert (deleted.returncode, "all of its 1 rows have expired" in deleted.stderr) == (3, True)
    store.close()


def test_a_database_that_is_not_there_is_not_made_by_who_only_looks(tmp_path):
    absent = f"sqlite:///{tmp_path}/folder/records.db"
    for command in (
        ("audit", "verify"),
        ("audit", "export", "--out", str(tmp_path / "a.csv")),
        ("records", "backup", "--out", str(tmp_path / "b.db")),
    ):
        refused = run(absent, *command)
        assert (refused.returncode, "There is no file at CXR_DATABASE_URL" in refused.stderr) == (1, True)
    assert list(tmp_path.iterdir()) == []


def test_a_backup_beside_a_writer_is_whole_and_a_copied_file_is_not(tmp_path):
    path, copied, backup = (tmp_path / name for name in ("records.db", "copied.db", "backup.db"))
    store = RecordStore(f"sqlite:///{path}")
    store.open()
    store.database.dispose()  # as after the check that precedes every start: the tables are in the file itself
    for number in range(3):
        store.append(entry(number), [prediction(number)]).result(30)
    subprocess.run(["cp", path, copied], check=True)  # not in this process: closing the file would drop SQLite's locks on it
    assert run(f"sqlite:///{copied}", "audit", "verify").returncode == 3
    assert run(f"sqlite:///{path}", "records", "backup", "--out", str(backup)).returncode == 0
    assert [each.name for each in tmp_path.glob("*backup*")] == ["backup.db"]
    store.append(entry(3)).result(30)
    kept = run(f"sqlite:///{backup}", "audit", "verify")
    assert (kept.returncode, "3 rows, 1 to 3" in kept.stdout) == (0, True)
    with pytest.raises(SettingsError, match="is there already"):
        back_up(store.database, backup)
    with pytest.raises(OSError, match="absent"):
        back_up(store.database, tmp_path / "absent" / "backup.db")
    with pytest.raises(SettingsError, match="pg_dump"):
        back_up(Database("postgresql://user@127.0.0.1/none"), tmp_path / "other.db")
    store.close()


@pytest.mark.parametrize("damage", ["cut", "other"])
def test_a_damaged_file_is_called_so_and_nobody_is_told_to_try_again(tmp_path, damage):
    path = tmp_path / "records.db"
    store = RecordStore(f"sqlite:///{path}")
    store.open()
    store.append(entry(), [prediction()]).result(30)
    store.close()
    path.write_bytes(path.read_bytes()[:40_000] if damage == "cut" else b"no database" * 1000)
    for command in (
        ("audit", "verify"),
        ("audit", "export", "--out", str(tmp_path / "e.csv")),
        ("records", "backup", "--out", str(tmp_path / "b.db")),
    ):
        refused = run(f"sqlite:///{path}", *command)
        assert refused.returncode == 1
        assert "no SQLite database" in refused.stderr and "try again" not in refused.stderr
    assert [each.name for each in tmp_path.iterdir() if each.suffix in (".csv", ".draft")] == []
    assert not (tmp_path / "b.db").exists()


def test_verify_needs_the_secret_that_the_rows_were_written_with(records_url):
    store = RecordStore(records_url, secret=b"0123456789abcdef")
    store.open()
    store.append(entry()).result(30)
    store.close()
    assert run(records_url, "audit", "verify", CXR_AUDIT_SECRET="0123456789abcdef").returncode == 0
    assert run(records_url, "audit", "verify").returncode == 1
    short = run(records_url, "audit", "verify", CXR_AUDIT_SECRET="0123")
    assert short.returncode == 1
    assert "CXR_AUDIT_SECRET" in short.stderr
    assert "0123" not in short.stderr


def test_the_log_is_exported_as_csv(store, records_url, tmp_path):
    assert run(records_url, "audit", "export", "--out", str(tmp_path / "audit.csv")).returncode == 0
    with (tmp_path / "audit.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["request_id"] for row in rows] == ["request-0", "request-1", "request-2"]
    assert rows[0]["confidence"] == "0.92"
    later = run(records_url, "audit", "export", "--out", str(tmp_path / "b.csv"), "--since", "2026-11-23T09:00:00")
    assert later.returncode == 2
    assert "time zone" in later.stderr


def test_the_last_label_of_each_film_is_exported_with_the_one_before(store, records_url, tmp_path):
    report(store, Feedback(MOMENT, of_request(1), "Normal"))
    report(store, Incident(MOMENT + timedelta(hours=1), "case-1", of_request(1), "Tuberculosis"))
    report(store, Feedback(MOMENT, of_request(2), "Normal"))
    assert run(records_url, "records", "labels", "--out", str(tmp_path / "labels.csv")).returncode == 0
    with (tmp_path / "labels.csv").open(newline="") as stream:
        rows = {row["request_id"]: row for row in csv.DictReader(stream)}
    found = {name: tuple(row[key] for key in ("kind", "label", "corrected_from")) for name, row in rows.items()}
    assert found == {"request-1": ("incident", "Tuberculosis", "Normal"), "request-2": ("feedback", "Normal", "")}
    row = rows["request-1"]
    assert row["prediction_id"] == store.find_prediction(of_request(1)).prediction_id
    assert (row["prediction"], row["image_sha256"], row["probability_pneumonia"]) == ("Pneumonia", digest(1), "0.92")
    failed = run(records_url, "records", "labels", "--out", str(tmp_path / "absent" / "labels.csv"))
    assert (failed.returncode, failed.stderr.count("\n"), "absent" in failed.stderr) == (1, 1, True)
    assert list(tmp_path.glob("**/*.csv*")) == [tmp_path / "labels.csv"]


@pytest.mark.parametrize("command", [("labels", "--out", "labels.csv"), ("expire",)])
def test_a_mistyped_database_is_told_and_not_created(tmp_path, command):
    told = run(f"sqlite:///{tmp_path}/mistyped.db", "records", *command)
    assert (told.returncode, told.stderr.count("\n")) == (1, 1)
    assert "There is no file at CXR_DATABASE_URL" in told.stderr
    assert not list(tmp_path.iterdir())


def test_retention_says_what_it_would_forget_and_then_forgets_it(store, records_url):
    old = MOMENT.replace(year=2016)
    store.append(entry(9, old), [prediction(9, old)]).result(30)
    report(store, Feedback(old, of_request(9), "Normal", "dr_who"))
    command = ["records", "expire", "--predictions-days", "3000", "--anonymise-days", "3000", "--audit-days", "36500"]
    counts = "predictions deleted: 1, audit anonymised: 2, audit deleted: 0, reports anonymised: 1\n"
    assert run(records_url, *command, "--dry-run").stdout == f"Would forget: {counts}"
    assert run(records_url, *command).stdout == f"Forgotten: {counts}"
    assert run(records_url, "audit", "verify").returncode == 0
    with store.database.reading() as connection:  # a report keeps what it is about when its prediction is forgotten
        assert "request-9" not in connection.execute(select(schema.predictions.c.request_id)).scalars().all()
        [row] = connection.execute(select(schema.feedback)).mappings().all()
    assert (row["prediction"], row["label"], row["user_id"]) == ("Pneumonia", "Normal", None)
    assert run(records_url, "records", "expire", "--audit-days", "0").returncode == 2
    assert expire.__defaults__ == (False, 90, 90, 365)  # of the nightly job, as docs/security.md promises


def test_keys_are_made_listed_and_revoked(records_url):
    made = run(records_url, "keys", "create", "dr_who", "--role", "clinician", "--expires-days", "365")
    key = made.stdout.strip()
    assert made.returncode == 0
    assert key.startswith("cxr_")
    assert key not in made.stderr
    listed = run(records_url, "keys", "list").stdout
    key_id = key.split("_")[1]
    assert key_id in listed
    assert key.split("_", 2)[2] not in listed
    assert run(records_url, "keys", "revoke", key_id).returncode == 0
    assert "revoked" in run(records_url, "keys", "list").stdout
    again = run(records_url, "keys", "revoke", key_id)
    assert again.returncode == 1
    assert "no active key" in again.stderr
    unknown = run(records_url, "keys", "create", "dr_who", "--role", "king")
    assert unknown.returncode == 2
    assert "'--role': 'king' is not one of 'admin', 'clinician', 'audit'" in unknown.stderr


def test_tables_are_made_by_upgrade_alone_where_servers_may_not(records_url):
    settings = {"CXR_DATABASE_UPGRADE": "false"}
    refused = run(records_url, "keys", "list", **settings)
    assert refused.returncode == 1
    assert "cxr records upgrade" in refused.stderr
    assert run(records_url, "records", "upgrade", **settings).returncode == 0
    assert run(records_url, "keys", "list", **settings).returncode == 0


def test_a_database_that_is_away_is_one_line_without_its_password():
    away = run("postgresql://user:hush@127.0.0.1:1/none", "audit", "verify")
    assert (away.returncode, away.stdout, away.stderr.count("\n")) == (1, "", 1)
    assert "try again" in away.stderr
    assert "hush" not in away.stderr
