"""Whatever the OpenAPI document allows is answered as it says: Schemathesis makes the requests up."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.serving import environment_without_settings, served

pytestmark = pytest.mark.slow

CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"


def test_no_request_made_from_the_document_meets_a_500_or_an_undocumented_status(bundle_path, tmp_path):
    inherited = environment_without_settings()
    with served(inherited | {"CXR_BUNDLE": str(bundle_path), "CXR_TIMEOUT_SECONDS": "115"}) as server:
        command = [
            str(Path(sys.executable).parent / "schemathesis"),
            "run",
            f"{server.address}/docs.json",
            "--url",
            server.address,
        ]
        options = ["--checks", CHECKS, "--max-examples", "30", "--seed", "1", "--no-color"]
        done = subprocess.run([*command, *options], cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout[-5000:]
    assert "13 passed" in done.stdout
