"""What travels into the image, and what it is built from; `make container` builds and runs it."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from bentoml._internal.bento.build_config import BentoPathSpec

from service.model.manifest import DRIFT_REFERENCE_NAME
from service.model.site_profile import PROFILE_NAME, SITE_GOLDEN_NAME, SITE_HEAD_NAME
from tests.support.releases import RELEASED
from tests.support.server.serving import environment_without_settings

ROOT = Path(__file__).resolve().parents[2]
LOCK = ROOT / "service" / "requirements.lock"


def pins(path):
    """name -> version of every line name==version; without extras and markers."""
    found = re.findall(r"^([a-z0-9-]+)(?:\[[a-z]+\])?==([^ ;\\\n]+)", path.read_text("utf-8"), flags=re.MULTILINE)
    return dict(found)


def test_the_lock_holds_every_requirement_at_its_version_but_pytorch():
    wanted, locked = pins(ROOT / "requirements-serve.txt"), pins(LOCK)
    assert wanted.pop("torch")
    assert {name: locked.get(name) for name in wanted} == wanted
    assert not {"torch", "triton"} & set(locked)


def test_every_locked_package_has_hashes():
    blocks = re.split(r"\n(?=[a-z])", LOCK.read_text("utf-8").split("\n", 2)[2])
    assert len(blocks) > 90
    assert [block for block in blocks if "--hash=sha256:" not in block] == []


@pytest.fixture(scope="module")
def bento(tmp_path_factory):
    """The bento that `bentoml build` makes, as a folder."""
    home = tmp_path_factory.mktemp("bentoml")
    environment = environment_without_settings()
    subprocess.run(
        [sys.executable, "-m", "bentoml", "build", "--version", "0.0.1"],
        cwd=ROOT,
        env=environment | {"BENTOML_HOME": str(home)},
        check=True,
        capture_output=True,
    )
    return home / "bentos" / "chest_xray" / "0.0.1"


@pytest.mark.slow
def test_only_the_service_and_its_models_travel(bento):
    files = [path.relative_to(bento / "src") for path in (bento / "src").rglob("*") if path.is_file()]
    assert {path.parts[0] for path in files} - {"sites"} == {"service", "models", "bentofile.yaml"}
    models = {path.parts[1] for path in files if path.parts[0] == "models"}
    assert {name for name in models if not name.startswith("chest-xray-")} <= {"registry.json"}
    assert RELEASED.name in models
    assert not [path for path in files if "__pycache__" in path.parts]


def test_a_site_profile_travels_and_what_lies_beside_it_stays():
    """A report of the acceptance shows films."""
    build = yaml.safe_load((ROOT / "bentofile.yaml").read_text("utf-8"))
    travels = BentoPathSpec(build["include"], build["exclude"], str(ROOT / "k8s" / "container")).includes
    profile = (PROFILE_NAME, SITE_HEAD_NAME, SITE_GOLDEN_NAME, DRIFT_REFERENCE_NAME)
    assert [name for name in profile if not travels(f"sites/st-mary-1/{name}")] == []
    others = ("report.html", "worst/film.png", "labels.csv", ".profile.json.draft")
    assert [name for name in others if travels(f"sites/st-mary-1/{name}") or travels(f"sites/{name}")] == []


@pytest.mark.slow
def test_the_image_runs_as_nobody_in_particular_and_says_whether_it_is_well(bento):
    dockerfile = (bento / "env" / "docker" / "Dockerfile").read_text("utf-8")
    stages = dockerfile.split("\nFROM ")
    assert len(stages) == 3
    last = stages[-1]
    assert re.findall(r"^USER (.*)$", last, flags=re.MULTILINE) == ["1034:1034"]
    assert "HEALTHCHECK" in last and "/readyz" in last
    # What installs stays in the first stage; of files, the last one takes its environment and the bento.
    assert re.findall(r"^COPY (.*)$", last, flags=re.MULTILINE) == ["--from=packages /app /app", ". /home/bentoml/bento/"]
    assert "uv pip install" not in last and "pip install" not in last
    assert "--require-hashes" in stages[1] and "ARG TORCH_BACKEND=cpu" in stages[1]


@pytest.mark.slow
def test_the_bento_names_its_service_and_its_lock(bento):
    described = yaml.safe_load((bento / "bento.yaml").read_text("utf-8"))
    assert described["service"] == "service.app:ChestXrayService"
    assert (bento / "src" / "service" / "requirements.lock").read_bytes() == LOCK.read_bytes()
