"""Servers of one user side by side, workers and supervisors that are killed: what each leaves to the others, and behind."""

import resource
import shutil
import socket
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import numpy as np
import psutil
import pytest

from service.errors import SettingsError
from service.process.supervision import FOLDER_VARIABLE, make_metrics_folder
from tests.support.encoded_films import encode, film
from tests.support.server.serving import environment_without_settings, served
from tests.support.waiting import eventually

PNG = encode(film(384), "PNG")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """For temporary files, with what a start left there that was killed, and what is none of ours."""
    folder = tmp_path_factory.mktemp("temporary")
    for name in ("chest-xray-metrics-killed", "another-program"):
        (folder / name).mkdir()
        (folder / name / "counter_1.db").touch()
    return folder


@pytest.fixture(scope="module")
def servers(bundle_path, folder, tmp_path_factory):
    """Two of one user and one BENTOML_HOME; the first had judged two films when the second was started."""
    clean = environment_without_settings()
    shared = {"CXR_BUNDLE": str(bundle_path), "TMPDIR": str(folder), "BENTOML_HOME": str(tmp_path_factory.mktemp("bentoml"))}
    with served(clean | shared) as first:
        for _ in range(2):
            httpx.post(f"{first.address}/predict", content=PNG).raise_for_status()
        with served(clean | shared) as second:
            yield first, second


def value_of(server, name):
    """Sum of a metric's series."""
    return server.metric(rf"{name}[ {{]")


def worker_of(server):
    [worker] = psutil.Process(server.process.pid).children()
    return worker


def metrics_folder(server):
    return Path(worker_of(server).environ()[FOLDER_VARIABLE])


@pytest.mark.long
def test_a_second_server_of_the_same_user_takes_nothing_from_the_first(servers):
    first, second = servers
    assert value_of(first, "cxr_predictions_total") == 2
    assert value_of(second, "cxr_predictions_total") == 0
    httpx.post(f"{second.address}/predict", content=PNG).raise_for_status()
    assert (value_of(first, "cxr_predictions_total"), value_of(second, "cxr_predictions_total")) == (2, 1)


@pytest.mark.long
def test_what_a_killed_start_left_is_removed_by_the_next_and_nothing_else_is(servers, folder):
    ours = {path for path in folder.iterdir() if path.name.startswith("chest-xray-metrics-")}
    assert ours == {metrics_folder(server) for server in servers}
    assert (folder / "another-program" / "counter_1.db").exists()


@pytest.mark.long
def test_of_a_worker_that_died_what_it_counted_stays_and_what_it_was_doing_goes(servers):
    first, _ = servers
    parts = urlsplit(first.address)
    limit = value_of(first, "cxr_queue_limit")
    # A film that never comes whole: in flight when the worker dies.
    with socket.create_connection((parts.hostname, parts.port)) as connection:
        connection.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n")
        assert eventually(lambda: value_of(first, "cxr_requests_in_flight"), lambda value: value == 2) == 2
        killed = worker_of(first)
        killed.kill()
        killed.wait()
    assert eventually(lambda: answers(first))
    assert value_of(first, "cxr_requests_in_flight") == 1  # the question itself
    assert value_of(first, "cxr_queue_depth") == 0
    assert value_of(first, "cxr_queue_limit") == limit == 64
    assert value_of(first, "cxr_model_info") == 1
    assert value_of(first, "cxr_predictions_total") == 2


def answers(server):
    try:
        return httpx.get(f"{server.address}/readyz").status_code == 200
    except httpx.HTTPError:
        return False


@pytest.mark.long
def test_of_a_supervisor_that_was_killed_nothing_is_left_and_its_port_is_free(servers):
    first, second = servers
    parts = urlsplit(second.address)
    left = metrics_folder(second)
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
    assert not left.exists()
    assert value_of(first, "cxr_predictions_total") == 2


@pytest.mark.long
def test_a_folder_that_was_cleaned_away_costs_counts_and_not_the_service(bundle_path, folder):
    environment = environment_without_settings() | {"CXR_BUNDLE": str(bundle_path), "TMPDIR": str(folder)}
    with served(environment) as server:
        httpx.post(f"{server.address}/predict", content=PNG).raise_for_status()
        shutil.rmtree(metrics_folder(server))
        assert value_of(server, "cxr_predictions_total") == 1
        killed = worker_of(server)
        killed.kill()
        killed.wait()
        assert eventually(lambda: answers(server))
        httpx.post(f"{server.address}/predict", content=PNG).raise_for_status()
        assert value_of(server, "cxr_predictions_total") == 1
        with served(environment):
            assert value_of(server, "cxr_predictions_total") == 1
        left, worker = metrics_folder(server), worker_of(server)
        server.process.kill()
        worker.wait(30)
        assert not left.exists()


@pytest.mark.long
def test_a_server_that_is_told_to_end_removes_its_folder(servers):
    first, _ = servers
    left = metrics_folder(first)
    first.process.terminate()
    assert first.process.wait(30) == 0
    assert not left.exists()


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_a_folder_of_temporary_files_without_room_ends_the_start_and_keeps_nothing(temporary):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64 * 1024, limits[1]))  # as a full disk, for this process alone
    try:
        with pytest.raises(SettingsError, match=r"\(TMPDIR\) cannot hold the metrics: File too large"):
            make_metrics_folder()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(temporary.iterdir()) == []


def test_a_folder_of_temporary_files_that_is_not_there_ends_the_start(temporary):
    temporary.rmdir()
    with pytest.raises(SettingsError, match=r"\(TMPDIR\) cannot hold the metrics: No such file or directory"):
        make_metrics_folder()
