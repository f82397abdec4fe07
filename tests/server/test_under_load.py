"""The real server, pushed and killed."""

import signal

import httpx
import psutil
import pytest

from service.records.store import RecordStore
from service.records.values import AuditFilter
from service.records.verification import verify_chain
from tests.support.databases import KINDS, database_url
from tests.support.encoded_films import encode, film
from tests.support.load import load
from tests.support.recorded import MOMENT
from tests.support.serving import environment_without_settings, served
from tests.support.waiting import eventually

pytestmark = pytest.mark.slow

FILM = encode(film(384), "JPEG")


def environment(bundle_path, url, **settings):
    inherited = environment_without_settings()
    return inherited | {"CXR_BUNDLE": str(bundle_path), "CXR_DATABASE_URL": url} | settings


def recorded(url):
    """Request ids in the log, which must hold."""
    records = RecordStore(url)
    records.open()
    with records.database.reading() as connection:
        found = verify_chain(connection, None, MOMENT, anonymise_days=90)
    assert found.fault is None
    ids, after = set(), 0
    while after is not None:
        page = records.audit_page(AuditFilter(), after, 1000)
        ids |= {row.request_id for row in page.rows}
        after = page.next_after_seq
    records.close()
    return ids


def family(server):
    parent = psutil.Process(server.process.pid)
    return [parent, *parent.children(recursive=True)]


@pytest.mark.parametrize("kind", KINDS)
def test_every_answered_request_is_on_record_after_a_kill_in_the_middle_of_load(kind, bundle_path, tmp_path):
    with database_url(kind, tmp_path) as url:
        with served(environment(bundle_path, url)) as server, load(server.address, FILM, clients=8) as running:
            assert eventually(lambda: len(running.answered) > 150)
            for process in family(server):
                process.kill()
        assert set(running.answered.values()) == {200}
        assert set(running.answered) <= recorded(url)
        with served(environment(bundle_path, url)) as server:  # the next start is clean
            assert httpx.post(f"{server.address}/predict", content=FILM).status_code == 200
        assert set(running.answered) <= recorded(url)


def test_no_accepted_request_fails_when_the_server_is_told_to_end_under_load(bundle_path, tmp_path):
    url = f"sqlite:///{tmp_path}/records.db"
    with served(environment(bundle_path, url)) as server, load(server.address, FILM, clients=8) as running:
        assert eventually(lambda: len(running.answered) > 100)
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(60) == 0
    assert running.broken == []
    assert set(running.answered.values()) == {200}
    assert set(running.answered) == recorded(url)
