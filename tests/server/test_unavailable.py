"""A service without a model that can be trusted, without room, or out of time."""

import shutil
import socket
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import httpx
import numpy as np
import pytest

from export.bundle import seal
from service.model.manifest import GOLDEN_NAME
from tests.support.encoded_films import encode
from tests.support.server.problems import PNG, assert_problem
from tests.support.server.serving import served
from tests.support.server.sockets import head

pytestmark = pytest.mark.slow


def test_a_bundle_that_cannot_be_trusted_keeps_the_service_alive_but_not_ready(bundle, tmp_path):
    path = shutil.copytree(bundle.path, tmp_path / "tampered")
    with np.load(path / GOLDEN_NAME) as arrays:
        golden = {name: arrays[name] for name in arrays.files}
    golden["probabilities"] = golden["probabilities"][:, ::-1]
    np.savez(path / GOLDEN_NAME, **golden)
    seal(path, bundle.manifest)
    with (
        served({"CXR_BUNDLE": str(path)}, wait_for="/livez") as server,
        httpx.Client(base_url=server.address) as client,
    ):
        assert_problem(client.get("/readyz"), 503)
        health = client.get("/health")
        assert health.status_code == 503
        assert health.json()["status"] == "unavailable"
        assert health.json()["reason"] == "golden-mismatch"
        assert str(path) not in health.text
        for response in (client.post("/predict", content=PNG), client.post("/predict/explain", content=PNG)):
            assert_problem(response, 503, "model-unavailable")
            assert response.headers["Retry-After"] == "30"
        assert_problem(client.get("/model/info"), 503, "model-unavailable")


@pytest.fixture(scope="module")
def narrow_address(bundle_path):
    settings = {"CXR_BUNDLE": str(bundle_path), "CXR_THREADS": "1", "CXR_QUEUE_LIMIT": "10", "CXR_TIMEOUT_SECONDS": "5"}
    with served(settings) as server:
        yield server.address


def test_what_does_not_fit_in_the_queue_is_told_to_come_back(narrow_address):
    slow = encode(np.zeros((7000, 7000), np.uint8), "PNG")  # fifty kilobytes that take a tenth of a second to decode
    batch = {"files": [("images", slow)] * 10}
    with httpx.Client(base_url=narrow_address, timeout=90) as client, ThreadPoolExecutor(4) as threads:
        responses = list(threads.map(lambda _: client.post("/predict/batch", **batch), range(4)))
    refused = [response for response in responses if response.status_code == 503]
    assert refused
    for response in refused:
        assert_problem(response, 503, "overloaded")
        assert response.headers["Retry-After"] == "1"


@pytest.mark.parametrize("path", [b"/predict", b"/feedback", b"/incidents"])
def test_a_body_that_never_comes_is_out_of_time(narrow_address, path):
    parts = urlsplit(narrow_address)
    with socket.create_connection((parts.hostname, parts.port), timeout=30) as connection:
        connection.sendall(head(b"Content-Length: 1000", start=b"POST " + path + b" HTTP/1.1"))
        answer = connection.recv(65536)
    assert answer.startswith(b"HTTP/1.1 504 ")
    assert b"application/problem+json" in answer
