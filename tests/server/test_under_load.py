"""Servers under load: killed, told to end, and replaced by another one.

What a cluster adds to a roll-out (endpoints, preStop, grace) is in tests/k8s/test_manifests.py.
"""

import http.client
import shutil
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import httpx
import psutil
import pytest

from export.bundle import seal
from service.records.store import RecordStore
from service.records.values import AuditFilter
from service.records.verification import verify_chain
from tests.support.databases import KINDS, database_url
from tests.support.encoded_films import encode, film
from tests.support.server.load import load
from tests.support.server.recorded import MOMENT
from tests.support.server.serving import served
from tests.support.waiting import eventually

pytestmark = pytest.mark.slow

FILM = encode(film(384), "JPEG")

# Clients of a roll-out.
CLIENTS = 4


def settings(bundle_path, url):
    return {"CXR_BUNDLE": str(bundle_path), "CXR_DATABASE_URL": url}


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
        with served(settings(bundle_path, url)) as server, load(server.address, FILM, clients=8) as running:
            assert eventually(lambda: len(running.answered) > 150)
            for process in family(server):
                process.kill()
        assert set(running.answered.values()) == {200}
        assert set(running.answered) <= recorded(url)
        with served(settings(bundle_path, url)) as server:  # the next start is clean
            assert httpx.post(f"{server.address}/predict", content=FILM).status_code == 200
        assert set(running.answered) <= recorded(url)


def test_no_accepted_request_fails_when_the_server_is_told_to_end_under_load(bundle_path, tmp_path):
    url = f"sqlite:///{tmp_path}/records.db"
    with served(settings(bundle_path, url)) as server, load(server.address, FILM, clients=8) as running:
        assert eventually(lambda: len(running.answered) > 100)
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(60) == 0
    assert running.broken == []
    assert set(running.answered.values()) == {200}
    assert set(running.answered) == recorded(url)


def test_a_request_that_crosses_with_the_end_of_the_server_is_answered(bundle_path):
    """On a connection that was idle when the server was told to end; the answer says that it was the last."""
    with served({"CXR_BUNDLE": str(bundle_path)}) as server:
        parts = urlsplit(server.address)
        first, second = (http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=60) for _ in range(2))
        assert not any(was_last(connection) for connection in (first, second))
        server.process.send_signal(signal.SIGTERM)
        assert eventually(lambda: was_last(first))
        assert was_last(second)
        assert server.process.wait(30) == 0


def was_last(connection):
    """Whether the answer to one more request says that the connection closes."""
    connection.request("GET", "/livez")
    response = connection.getresponse()
    assert (response.status, bool(response.read())) == (200, True)
    return response.will_close


def test_no_film_is_lost_while_one_model_takes_over_from_another(bundle, tmp_path):
    answers: list[httpx.Response] = []
    over = threading.Event()
    route: dict[str, str] = {}

    def send_films() -> None:
        while not over.is_set():
            # A connection of its own for each, as from many hospitals' archives; and the route of this moment.
            answers.append(httpx.post(f"{route['to']}/predict", content=FILM, timeout=60))

    newer = shutil.copytree(bundle.path, tmp_path / "chest-xray-1.1.0")
    seal(newer, bundle.manifest.model_copy(update={"version": "1.1.0"}))
    url = f"sqlite:///{tmp_path}/records.db"
    with ThreadPoolExecutor(CLIENTS) as clients, served(settings(bundle.path, url)) as old:
        route["to"] = old.address
        sending = [clients.submit(send_films) for _ in range(CLIENTS)]
        try:
            wait_for(answers, 20)
            with served(settings(newer, url)) as new:
                route["to"] = new.address
                # Every client has come back from the old one: what preStop waits for.
                wait_for(answers, len(answers) + 2 * CLIENTS)
                old.process.terminate()
                assert old.process.wait(30) == 0
                wait_for(answers, len(answers) + 20)
                over.set()
                for each in sending:
                    each.result(60)
        finally:
            over.set()
    assert {answer.status_code for answer in answers} == {200}
    versions = [answer.json()["model_version"] for answer in answers]
    assert versions[0] == "1.0.0" and versions[-1] == "1.1.0"


def wait_for(answers, number):
    assert eventually(lambda: len(answers) >= number)
