"""Libraries send no usage data: the real commands run under strace, from an empty home folder."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from service.usage_data import SWITCHES
from tests.support.server.serving import ROOT
from tests.support.training.tiny_training import PACKAGED

# Of these the service needs the first two; the others are training's.
SERVING = ("BENTOML_DO_NOT_TRACK", "ORT_DISABLE_TELEMETRY")


@pytest.mark.parametrize("package", ["service", "export", "training", "benchmarks"])
def test_importing_a_package_switches_usage_data_off_whatever_was_set(package):
    """Before any library is loaded: ONNX Runtime reads its switch only then."""
    code = f"import json, os, sys, {package}; print(json.dumps([dict(os.environ), sorted(sys.modules)]))"
    environment = os.environ | dict.fromkeys(SWITCHES, "0")
    told = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    variables, modules = json.loads(told.stdout)
    assert SWITCHES.items() <= variables.items()
    assert not {"onnxruntime", "bentoml", "mlflow", "huggingface_hub"} & set(modules)


def test_what_starts_other_programs_switches_their_usage_data_off_too():
    makefile = (ROOT / "Makefile").read_text("utf-8")
    assert [name for name, value in SWITCHES.items() if f"export {name} := {value}\n" not in makefile] == []
    training = (ROOT / "k8s/components/retraining/Dockerfile").read_text("utf-8")
    assert [name for name, value in SWITCHES.items() if f" {name}={value}" not in training] == []
    container = (ROOT / "k8s/container/Dockerfile.j2").read_text("utf-8")
    bento = yaml.safe_load((ROOT / "bentofile.yaml").read_text("utf-8"))["envs"]
    base = yaml.safe_load((ROOT / "k8s/base/kustomization.yaml").read_text("utf-8"))
    for name in SERVING:
        assert f" {name}={SWITCHES[name]}" in container
        assert {"name": name, "value": SWITCHES[name]} in bento
        assert f"{name}={SWITCHES[name]}" in base["configMapGenerator"][0]["literals"]


def can_trace() -> bool:
    return shutil.which("strace") is not None and subprocess.run(["strace", "-qq", "true"], check=False).returncode == 0


needs_tracer = pytest.mark.skipif(not can_trace(), reason="strace is not installed, or may not trace")


@pytest.fixture
def home(tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    # The trace notices what it is for. Connecting by UDP sends nothing, and this address is nobody's (RFC 5737).
    knock = "import socket; socket.socket(type=socket.SOCK_DGRAM).connect(('192.0.2.1', 9))"
    assert left_by(home, "-c", knock) == {"192.0.2.1 9"}
    return home


def left_by(home: Path, *arguments: str) -> set[str]:
    """Run Python from this home, under strace.

    Returns the addresses beyond the loopback interface and the name servers on it that it sought, and the files in the home
    but for those that commands are known to keep there.
    """
    # What a login shell has, and no more: some libraries are quiet where they find the variables of a test or of CI.
    kept = {name: os.environ[name] for name in ("PATH", "OMP_WAIT_POLICY") if name in os.environ}
    environment = {**kept, "HOME": str(home), "CXR_DATABASE_URL": f"sqlite:///{home}/records.db"}
    trace = home.with_name("trace")
    command = ["strace", "-f", "-q", "-e", "trace=connect,sendto,sendmsg,sendmmsg", "-o", trace, sys.executable, *arguments]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    connections = re.findall(r'port=htons\((\d+)\).*?(?:inet_addr\(|AF_INET6, )"([^"]+)"', trace.read_text(errors="replace"))
    files = [path.relative_to(home) for path in home.rglob("*") if path.is_file()]
    return {
        *(f"{host} {port}" for port, host in connections if port == "53" or not host.startswith(("127.", "::1", "0.0.0.0"))),
        *(str(file) for file in files if file.parts[0] not in ("bentoml", "records.db") and "matplotlib" not in str(file)),
    }


SERVE = """
import os
import httpx
from tests.support.server.serving import ROOT, served

with served(os.environ) as server:
    film = (ROOT / "tests/films/phantom.png").read_bytes()
    httpx.post(f"{server.address}/predict", content=film).raise_for_status()
"""


@needs_tracer
@pytest.mark.slow
def test_the_service_as_somebody_types_it_reports_to_nobody(home):
    """`bentoml serve` without make, and what it would report as it ends."""
    assert left_by(home, "-c", SERVE) == set()


@needs_tracer
@pytest.mark.long
def test_scoring_training_export_and_evaluation_report_to_nobody(home, tmp_path, phantom_dataset):
    data = phantom_dataset(films_per_class={"train": 4, "val": 4, "test": 4}, manifest=True)
    config, run, models = tmp_path / "tiny.toml", tmp_path / "run", tmp_path / "models"
    config.write_text(PACKAGED)
    one_epoch = "--set schedule.epochs=1 --set schedule.warmup_epochs=0 --set schedule.cycle_epochs=1"
    bundle = models / "chest-xray-0.1.0"
    commands = (
        f"train --config {config} --data {data} --out {run} --mlflow quiet {one_epoch}",
        f"export --checkpoint {run}/best_model.pt --data {data} --version 0.1.0 --out {models}",
        f"registry --models {models} promote 0.1.0",
        f"evaluate {bundle} --data {data} --out {tmp_path}/report --parts outliers,misclassified",
        f"score {data}/test --out {tmp_path}/predictions.csv",
    )
    for command in commands:
        assert left_by(home, "-m", "service.commands.cxr", *command.split()) == set(), command
