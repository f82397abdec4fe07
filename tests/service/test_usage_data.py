"""Libraries send no usage data: the real commands run under strace, from an empty home folder."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest
import yaml

from service.usage_data import SWITCHES
from tests.support.server.serving import ROOT, free_port
from tests.support.training.tiny_training import PACKAGED
from tests.support.waiting import eventually

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


class House:
    """A home, and the addresses that commands run from it sought."""

    def __init__(self, folder: Path) -> None:
        self.home, self._trace = folder / "home", folder / "trace"
        self.home.mkdir()

    def environment(self) -> dict[str, str]:
        """What a login shell has, and no more: some libraries are quiet where they find the variables of a test or of CI."""
        kept = {name: os.environ[name] for name in ("PATH", "OMP_WAIT_POLICY") if name in os.environ}
        return {**kept, "HOME": str(self.home), "CXR_DATABASE_URL": f"sqlite:///{self.home}/records.db"}

    def traced(self, command: Sequence[str]) -> list[str]:
        return ["strace", "-f", "-q", "-e", "trace=connect,sendto,sendmsg,sendmmsg", "-o", str(self._trace), *command]

    def run(self, *command: str) -> None:
        done = subprocess.run(
            self.traced(command), cwd=ROOT, env=self.environment(), capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr

    @contextmanager
    def serving(self, port: int):
        """`bentoml serve` as somebody types it who does not use make."""
        command = [str(Path(sys.executable).with_name("bentoml")), "serve", "service.app:ChestXrayService", "--port", str(port)]
        tracer = subprocess.Popen(
            self.traced(command), cwd=ROOT, env=self.environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            yield
        finally:
            # To bentoml itself: what it would report as it ends counts as well.
            for process in psutil.Process(tracer.pid).children():
                process.terminate()
            tracer.wait(60)

    def sought(self) -> set[str]:
        """Addresses beyond the loopback interface, and name servers on it, since the last time that this was asked."""
        trace = self._trace.read_text(errors="replace")
        self._trace.unlink()
        found = re.findall(r'port=htons\((\d+)\).*?(?:inet_addr\(|AF_INET6, )"([^"]+)"', trace)
        return {f"{host} {port}" for port, host in found if port == "53" or not host.startswith(("127.", "::1", "0.0.0.0"))}

    def kept(self) -> set[str]:
        """What the commands left in the home, but for what they are known to keep there."""
        known = {"bentoml", "records.db"}
        kept = {str(path.relative_to(self.home)) for path in self.home.rglob("*") if path.is_file()}
        return {path for path in kept if Path(path).parts[0] not in known and "matplotlib" not in path}


def tracer() -> str | None:
    """Why nothing can be traced here, if so."""
    if shutil.which("strace") is None:
        return "strace is not installed"
    return None if subprocess.run(["strace", "-qq", "true"], capture_output=True, check=False).returncode == 0 else "no ptrace"


needs_tracer = pytest.mark.skipif(tracer() is not None, reason=f"nothing can be traced: {tracer()}")


@pytest.fixture
def house(tmp_path):
    house = House(tmp_path)
    # The trace notices what it is for. Connecting by UDP sends nothing, and this address is nobody's (RFC 5737).
    knock = "import socket; socket.socket(type=socket.SOCK_DGRAM).connect(('192.0.2.1', 9))"
    house.run(sys.executable, "-c", knock)
    assert house.sought() == {"192.0.2.1 9"}
    return house


@needs_tracer
@pytest.mark.slow
def test_the_service_as_somebody_types_it_reports_to_nobody(house):
    port = free_port()
    film = (ROOT / "tests/films/phantom.png").read_bytes()
    with house.serving(port), httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
        assert eventually(lambda: answers(client), lambda status: status == 200) == 200
        assert client.post("/predict", content=film).status_code == 200
    assert house.sought() == set()
    assert house.kept() == set()


def answers(client: httpx.Client) -> int:
    try:
        return client.get("/readyz").status_code
    except httpx.TransportError:
        return 0


@needs_tracer
@pytest.mark.long
def test_scoring_training_export_and_evaluation_report_to_nobody(house, tmp_path, phantom_dataset):
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
        house.run(sys.executable, "-m", "service.commands.cxr", *command.split())
        assert house.sought() == set(), command
        assert house.kept() == set(), command
