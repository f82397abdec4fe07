"""The servers that most tests use; each module starts its own: `server` without access control, `guarded` with keys."""

import httpx
import pytest

from tests.support.server.guarded import guarded_server
from tests.support.server.serving import served


@pytest.fixture(scope="module")
def server(bundle_path):
    settings = {
        "CXR_BUNDLE": str(bundle_path),
        "CXR_MAX_UPLOAD_BYTES": "2000000",
        "CXR_MAX_PIXELS": "1000000",
        "CXR_TIMEOUT_SECONDS": "115",  # a busy machine may take long to import PyTorch
    }
    with served(settings) as server:
        yield server


@pytest.fixture(scope="module")
def client(server):
    with httpx.Client(base_url=server.address, timeout=120) as client:
        yield client


@pytest.fixture(scope="module")
def guarded(request, bundle_path, tmp_path_factory):
    """See `guarded_server`; a module may name further settings as SETTINGS."""
    url = f"sqlite:///{tmp_path_factory.mktemp('guarded')}/records.db"
    with guarded_server(url, bundle_path, **getattr(request.module, "SETTINGS", {})) as guarded:
        yield guarded
