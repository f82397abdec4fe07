"""What becomes of SQLite's files under a running service: it notices, refuses, and goes on when the same file is back."""

import os
import shutil
import sqlite3
from contextlib import closing

import httpx
import pytest

from service.errors import RecordsUnavailable
from service.records.sqlite_file import SqliteFile
from service.records.store import RecordStore
from service.records.values import AuditFilter
from service.records.verification import verify_chain
from tests.support.encoded_films import encode, film
from tests.support.server.recorded import MOMENT, entry, prediction
from tests.support.server.serving import served
from tests.support.waiting import eventually

# A service is not ready, and answers 503, that long after its records went away at the latest.
NOTICED_SECONDS = 5


@pytest.fixture
def path(tmp_path):
    """In a folder of its own, and opened through a link."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("folder")
    return tmp_path / "link" / "records.db"


@pytest.fixture
def store(path):
    store = RecordStore(f"sqlite:///{path}")
    store.open()
    for number in range(50):
        store.append(entry(number), [prediction(number)]).result(30)
    yield store
    store.close()


def away(path):
    return path.with_name("away")


def is_refused(store):
    """By what writes, by what reads, and by what readiness asks."""
    for call in (lambda: store.append(entry()).result(30), lambda: store.audit_page(AuditFilter()), store.check):
        with pytest.raises(RecordsUnavailable):
            call()
    return True


def goes_on(store):
    rows = len(store.audit_page(AuditFilter(), limit=1000).rows)
    store.append(entry(rows)).result(30)
    with store.database.reading() as connection:
        found = verify_chain(connection, None, MOMENT, anonymise_days=90)
    return (found.fault, found.rows) == (None, rows + 1)


def test_a_database_that_grows_while_it_is_looked_at_was_not_cut(path, monkeypatch):
    path.write_bytes(bytes(10))
    file = SqliteFile(path)
    file.remember()
    look = file._look

    def slow_look():
        found = look()
        if path.stat().st_size == 10:
            path.write_bytes(bytes(20))
            file.check()  # as another thread does
        return found

    monkeypatch.setattr(file, "_look", slow_look)
    file.check()


@pytest.mark.parametrize("ending", ["", "-wal", "-shm"])
@pytest.mark.parametrize("is_copied", [False, True])
def test_a_file_that_was_moved_or_replaced_by_a_copy_is_missed_until_it_is_back(store, path, ending, is_copied, caplog):
    """A copy has the rows of its moment: what is written into the other file would be lost."""
    moved = path.with_name(f"records.db{ending}")
    if is_copied:
        shutil.copy(moved, path.with_name("copy"))
    moved.rename(away(path))
    if is_copied:
        path.with_name("copy").rename(moved)
    assert is_refused(store)
    assert f"records.db{ending} {'was replaced by another file' if is_copied else 'is gone'}" in caplog.text
    assert moved.exists() == is_copied  # nobody made an empty one meanwhile
    away(path).rename(moved)
    assert goes_on(store)


def test_a_folder_that_was_moved_and_a_link_that_leads_elsewhere_are_missed_until_they_are_back(store, path):
    link, folder = path.parent, path.parent.resolve()
    folder.rename(folder.with_name("elsewhere"))
    assert is_refused(store)
    folder.with_name("elsewhere").rename(folder)
    assert goes_on(store)
    shutil.copytree(folder, folder.with_name("other"))
    link.unlink()
    link.symlink_to("other")
    assert is_refused(store)
    link.unlink()
    link.symlink_to("folder")
    assert goes_on(store)


@pytest.mark.parametrize("share", [0, 0.5])
def test_a_file_that_was_cut_short_is_refused_until_its_content_is_back(store, path, share, caplog):
    store.database.dispose()  # writes all of the log into the database file
    assert goes_on(store)
    content = path.read_bytes()
    os.truncate(path, int(len(content) * share))
    assert is_refused(store)
    assert "cut short" in caplog.text
    with path.open("r+b") as stream:
        stream.write(content)
    assert goes_on(store)


def test_a_file_that_grew_is_refused_once_it_is_as_short_as_it_was(store, path, caplog):
    size_bytes = path.stat().st_size
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("CREATE TABLE passing AS SELECT randomblob(1000000)")
        other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        assert goes_on(store)
    os.truncate(path, size_bytes)
    assert is_refused(store)
    assert "cut short" in caplog.text


def test_a_log_that_was_deleted_is_written_into_the_database_when_the_service_stops_in_order(store, path):
    path.with_name("records.db-wal").unlink()
    path.with_name("records.db-shm").unlink()
    assert is_refused(store)
    store.database.dispose()
    assert len(store.audit_page(AuditFilter(), limit=1000).rows) == 50
    assert goes_on(store)


def test_other_processes_that_come_and_go_are_no_damage(store, path):
    for _ in range(3):
        other = RecordStore(f"sqlite:///{path}")
        assert goes_on(other)
        other.close()
        assert goes_on(store)


def rows_of(path):
    store = RecordStore(f"sqlite:///{path}")
    rows = store.audit_page(AuditFilter(), limit=1000).rows
    store.close()
    return rows


@pytest.mark.slow
def test_a_service_whose_records_go_away_says_so_within_seconds_and_goes_on_when_they_are_back(bundle_path, tmp_path):
    folder = tmp_path / "records"
    path = folder / "records.db"
    png = encode(film(256), "PNG")
    with served({"CXR_BUNDLE": str(bundle_path), "CXR_DATABASE_URL": f"sqlite:///{path}"}) as server:
        address = server.address

        def statuses():
            return httpx.get(f"{address}/readyz").status_code, httpx.post(f"{address}/predict", content=png).status_code

        assert statuses() == (200, 200)
        for lost in (path, path.with_name("records.db-wal"), folder):
            lost.rename(tmp_path / "away")
            assert eventually(statuses, lambda found: found == (503, 503), NOTICED_SECONDS) == (503, 503), lost
            problem = httpx.post(f"{address}/predict", content=png).json()
            assert problem["type"] == "urn:chest-xray:problem:records-unavailable"
            assert str(tmp_path) not in problem["detail"]
            assert not lost.exists()
            (tmp_path / "away").rename(lost)
            assert eventually(statuses, lambda found: found == (200, 200), NOTICED_SECONDS) == (200, 200), lost
        rows = rows_of(path)
        path.with_name("records.db-wal").unlink()
        assert eventually(statuses, lambda found: found == (503, 503), NOTICED_SECONDS) == (503, 503)
    assert len(rows) >= 4
    assert rows_of(path) == rows  # what was in the deleted file was written into the database when the service ended
