"""The server that most tests ask: without access control, with low limits. Each module that uses it has its own."""

import httpx
import pytest

from tests.support.serving import environment_without_settings, served


@pytest.fixture(scope="module")
def server(bundle_path):
    environment = environment_without_settings()
    settings = {
        "CXR_BUNDLE": str(bundle_path),
        "CXR_MAX_UPLOAD_BYTES": "2000000",
        "CXR_MAX_PIXELS": "1000000",
        "CXR_TIMEOUT_SECONDS": "115",  # a busy machine may take long to import PyTorch
    }
    with served(environment | settings) as server:
        yield server


@pytest.fixture(scope="module")
def client(server):
    with httpx.Client(base_url=server.address, timeout=120) as client:
        yield client
