"""One commissioning of the synthetic hospital with the released bundle, which many tests look at."""

import json

import pytest

from service.commands.cxr import main


@pytest.fixture(scope="session")
def demo(tmp_path_factory):
    """The folder of `cxr commission --demo`."""
    folder = tmp_path_factory.mktemp("demo") / "hospital"
    assert main(["commission", "--demo", str(folder), "--threads", "2"]) == 0
    return folder


@pytest.fixture(scope="session")
def demo_metrics(demo):
    return json.loads((demo / "reports" / "commission-demo-1" / "metrics.json").read_text())
