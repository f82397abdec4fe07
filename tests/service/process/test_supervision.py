"""Servers of one user side by side, and workers and supervisors that are killed."""

import socket
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import httpx
import numpy as np
import psutil
import pytest

from tests.support.encoded_films import encode, film
from tests.support.server.serving import environment_without_settings, served
from tests.support.waiting import eventually

pytestmark = pytest.mark.long

PNG = encode(film(384), "PNG")


@pytest.fixture(scope="module")
def servers(bundle_path, tmp_path_factory):
    """Two of one user and one BENTOML_HOME; the first had judged two films when the second was started."""
    shared = {"CXR_BUNDLE": str(bundle_path), "BENTOML_HOME": str(tmp_path_factory.mktemp("bentoml"))}
    environment = environment_without_settings() | shared
    with served(environment) as first:
        for _ in range(2):
            judge(first)
        with served(environment) as second:
            yield first, second


def judge(server):
    httpx.post(f"{server.address}/predict", content=PNG).raise_for_status()


def predictions(server):
    return server.metric(r"cxr_predictions_total{")


def test_a_second_server_of_the_same_user_takes_nothing_from_the_first(servers):
    first, second = servers
    assert (predictions(first), predictions(second)) == (2, 0)
    judge(second)
    assert (predictions(first), predictions(second)) == (2, 1)


def test_a_worker_that_died_is_replaced(servers):
    first, _ = servers
    [worker] = psutil.Process(first.process.pid).children()
    worker.kill()
    worker.wait()
    assert eventually(lambda: answers(first))
    judge(first)
    assert predictions(first) == 1


def answers(server):
    try:
        return httpx.get(f"{server.address}/readyz").status_code == 200
    except httpx.HTTPError:
        return False


def test_of_a_supervisor_that_was_killed_nothing_is_left_and_its_port_is_free(servers):
    _, second = servers
    parts = urlsplit(second.address)
    with ThreadPoolExecutor(1) as client:
        # Costly to decode, and so in a process of its own.
        files = [("images", encode(np.zeros((7000, 7000), np.uint8), "PNG"))] * 10
        batch = client.submit(httpx.post, f"{second.address}/predict/batch", files=files, timeout=60)
        assert eventually(lambda: len(psutil.Process(second.process.pid).children(recursive=True)) > 1)
        family = psutil.Process(second.process.pid).children(recursive=True)
        second.process.kill()
        assert batch.result().status_code == 200
    assert psutil.wait_procs(family, timeout=30)[1] == []
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((parts.hostname, parts.port))
