"""A roll-out as Kubernetes makes one: the new server is ready, films go there, a pause, and the old one is told to end.

What a cluster adds (endpoints, preStop, grace) is in tests/k8s/test_manifests.py; here is what the service does for its part.
"""

import shutil
import threading
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from export.bundle import seal
from tests.support.encoded_films import encode, film
from tests.support.serving import environment_without_settings, served
from tests.support.waiting import eventually

pytestmark = pytest.mark.slow

PNG = encode(film(384), "PNG")
CLIENTS = 4


@pytest.fixture
def environments(bundle, tmp_path):
    """Of the old and the new server: two versions of the model, one database."""
    newer = shutil.copytree(bundle.path, tmp_path / "chest-xray-1.1.0")
    seal(newer, bundle.manifest.model_copy(update={"version": "1.1.0"}))
    clean = environment_without_settings()
    shared = {"CXR_DATABASE_URL": f"sqlite:///{tmp_path}/records.db"}
    return [clean | shared | {"CXR_BUNDLE": str(path)} for path in (bundle.path, newer)]


def test_no_film_is_lost_while_one_model_takes_over_from_another(environments):
    answers: list[httpx.Response] = []
    over = threading.Event()
    route: dict[str, str] = {}

    def send_films() -> None:
        while not over.is_set():
            # A connection of its own for each, as from many hospitals' archives; and the route of this moment.
            answers.append(httpx.post(f"{route['to']}/predict", content=PNG, timeout=60))

    old_environment, new_environment = environments
    with ThreadPoolExecutor(CLIENTS) as clients, served(old_environment) as old:
        route["to"] = old.address
        sending = [clients.submit(send_films) for _ in range(CLIENTS)]
        try:
            wait_for(answers, 20)
            with served(new_environment) as new:
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


def test_what_is_being_answered_when_the_end_comes_is_answered(environments):
    with served(environments[0]) as server, ThreadPoolExecutor(1) as client:
        files = [("images", encode(film(2048), "PNG"))] * 10
        batch = client.submit(httpx.post, f"{server.address}/predict/batch", files=files, timeout=60)
        assert eventually(lambda: server.metric("cxr_requests_in_flight ") >= 2)  # the batch, and the question itself
        server.process.terminate()
        assert batch.result(60).status_code == 200
        assert server.process.wait(60) == 0


def wait_for(answers, number):
    assert eventually(lambda: len(answers) >= number)
