"""Batches in which the decoding process fails for one film, and what is counted of a film that is sent again."""

import re
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import psutil
import pytest
from pydicom import uid

from tests.support.compressed_dicom import compressed_dicom
from tests.support.encoded_films import encode, film
from tests.support.server.serving import served
from tests.support.waiting import eventually

pytestmark = pytest.mark.long

PNG = encode(film(384), "PNG")
COSTLY = compressed_dicom(film(384).astype(np.uint16) * 200, uid.JPEG2000Lossless)

TIMEOUT_SECONDS = 6

# Of every Python that the server starts; only the decoding process does as the file says.
SITE_CUSTOMIZE = """
import pathlib, sys, time
if "service.sandbox" in sys.orig_argv:
    exec(pathlib.Path(__file__).with_name("mode").read_text())
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    (folder / "sitecustomize.py").write_text(SITE_CUSTOMIZE)
    (folder / "mode").write_text("")
    return folder


@pytest.fixture(scope="module")
def server(bundle_path, folder):
    settings = {"CXR_BUNDLE": str(bundle_path), "CXR_THREADS": "2", "CXR_TIMEOUT_SECONDS": str(TIMEOUT_SECONDS)}
    with served(settings | {"PYTHONPATH": str(folder)}) as server:
        yield server


@pytest.fixture
def decoders(folder):
    """Sets what the next decoding processes do when they start."""
    yield (folder / "mode").write_text
    (folder / "mode").write_text("")


def batch(server, *films):
    return httpx.post(f"{server.address}/predict/batch", files=[("images", data) for data in films], timeout=60)


def kinds(answer):
    """For each film, the status of its problem, or 200."""
    assert answer.status_code == 200
    return [item["error"]["status"] if "error" in item else 200 for item in answer.json()["results"]]


def counted(server):
    """Films counted by what was called, and for drift."""
    return [server.metric(r"cxr_predictions_total\{"), server.metric(r'cxr_drift_bin_total\{.*feature="mean"')]


def rise(before, after):
    return tuple(now - then for then, now in zip(before, after, strict=True))


def test_a_batch_answers_the_films_that_need_no_decoding_process_when_there_is_none_to_be_had(server, decoders):
    decoders("raise SystemExit('broken on purpose')")
    before = counted(server)
    answer = batch(server, PNG, COSTLY, PNG, b"no film")
    assert kinds(answer) == [200, 503, 200, 415]
    problem = answer.json()["results"][1]["error"]
    assert problem["type"] == "urn:chest-xray:problem:decoder-failed"
    assert rise(before, counted(server)) == (2, 2)
    single = httpx.post(f"{server.address}/predict", content=COSTLY)
    assert (single.status_code, single.headers["Retry-After"]) == (503, "5")
    assert re.search(r"\[ERROR\].*cannot be started: .*broken on purpose", server.log(), re.DOTALL)
    decoders("")
    assert kinds(batch(server, COSTLY)) == [200]  # nothing was wrong with the film
    assert rise(before, counted(server)) == (3, 3)


def decoding_processes(server):
    family = psutil.Process(server.process.pid).children(recursive=True)
    return [
        process for process in family if process.status() != psutil.STATUS_ZOMBIE and "service.sandbox" in process.cmdline()
    ]


def end_idle_decoders(server):
    for process in decoding_processes(server):
        process.kill()
    assert eventually(lambda: decoding_processes(server), lambda found: found == []) == []


def test_a_film_that_takes_all_the_time_there_is_leaves_the_others_their_answers(server, decoders):
    end_idle_decoders(server)
    decoders("time.sleep(3600)")
    before = counted(server)
    assert kinds(batch(server, COSTLY, PNG)) == [504, 200]
    assert rise(before, counted(server)) == (1, 1)


def test_a_film_that_is_being_decoded_when_the_server_is_told_to_end_is_answered(server, decoders):
    """BentoML tells the worker's own children to end as well."""
    end_idle_decoders(server)
    decoders("time.sleep(1.5)")
    with ThreadPoolExecutor(1) as client:
        answer = client.submit(batch, server, COSTLY)
        assert eventually(lambda: decoding_processes(server))
        server.process.terminate()
        assert kinds(answer.result(60)) == [200]
    assert server.process.wait(30) == 0
