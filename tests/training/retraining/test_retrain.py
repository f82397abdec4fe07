"""`cxr retrain` on phantoms: from trigger to decision, with real training, export and evaluation."""

import json
import os
import shutil
import signal
import sys
from pathlib import Path

import psutil
import pytest

from export.bundle import seal
from export.export import export_bundle
from export.registry import Registry
from service.commands.cxr import main
from service.files import lock
from service.model.bundle import ModelBundle
from service.model.findings import Finding
from service.model.releases import LogEntry, Served, ServingChoice, read_choice
from service.records.store import RecordStore
from service.records.values import Feedback, PredictionName
from tests.support.server.recorded import MOMENT, entry, prediction, report
from tests.support.server.serving import ROOT
from tests.support.training.tiny_training import PACKAGED, train
from tests.support.waiting import eventually
from tests.training.retraining.test_films import archived
from tests.training.retraining.test_triggers import alerting
from training.network.checkpoint import BEST_NAME

pytestmark = pytest.mark.long

# Read by the fixture config_path.
CONFIG = PACKAGED

# At a learning rate of nothing a network stays what it is.
NOTHING_LEARNT = (
    "optimiser.learning_rate=1e-12",
    "schedule.minimum_learning_rate=0.0",
    "schedule.epochs=1",
    "schedule.cycle_epochs=1",
)
DRIFT = {"alertname": "ChestXrayRetrainDrift", "feature": "mean", "alertstate": "firing"}


@pytest.fixture(scope="module")
def data(phantom_dataset):
    return phantom_dataset(films_per_class={"train": 24, "val": 12, "test": 40}, manifest=True)


def bundle_of(folder, config_path, data, *changes):
    """A bundle that begins with ImageNet's features, trained as PACKAGED says but for the changes."""
    run = folder / "run"
    options = [part for change in changes for part in ("--set", change)]
    assert train(config_path, data, run, *options) == 0
    return export_bundle(run / BEST_NAME, data, version="1.0.0", out=folder / "models")


@pytest.fixture(scope="module")
def weak(tmp_path_factory, config_path, data):
    """Has learnt nothing: easy to beat."""
    folder = tmp_path_factory.mktemp("weak")
    return bundle_of(folder, config_path, data, *NOTHING_LEARNT, "schedule.warmup_epochs=0")


@pytest.fixture(scope="module")
def strong(tmp_path_factory, config_path, data, weak):
    """Makes no error on phantoms: not to be beaten."""
    goes_on = ('model.weights="bundle"', f'model.weights_file="{weak.path}"')
    return bundle_of(tmp_path_factory.mktemp("strong"), config_path, data, *goes_on)


@pytest.fixture
def house(tmp_path, monkeypatch, config_path, data):
    """A hospital with releases, records and an archive of films."""
    for name in [name for name in os.environ if name.startswith("CXR_")]:
        monkeypatch.delenv(name)
    url = f"sqlite:///{tmp_path}/records.db"
    monkeypatch.setenv("CXR_DATABASE_URL", url)
    records = RecordStore(url)
    records.open()
    yield House(tmp_path, tmp_path / "models", records, config_path, data)
    records.close()


class House:
    def __init__(self, folder: Path, models: Path, records: RecordStore, config: Path, data: Path) -> None:
        self.folder, self.models, self.records, self.config, self.data = folder, models, records, config, data

    def release(self, bundle: ModelBundle) -> None:
        """Let it be the first release, older than the labels of tests.support.server.recorded."""
        folder = self.models / "chest-xray-1.0.0"
        shutil.copytree(bundle.path, folder)
        seal(folder, bundle.manifest.model_copy(update={"created_at": "2026-11-01T00:00:00+00:00"}))

    def options(self, *options: str) -> list[str]:
        folders = ["--models", str(self.models), "--runs", str(self.folder / "runs"), "--data", str(self.data)]
        return [*folders, "--config", str(self.config), *options]

    def retrain(self, *options: str) -> int:
        return main(["retrain", *self.options(*options)])

    def start(self, *options: str) -> "psutil.Popen":
        """In a process, which can be killed."""
        output = (self.folder / "output").open("ab")
        return psutil.Popen(
            [sys.executable, "-m", "service.commands.cxr", "retrain", *self.options(*options)],
            cwd=ROOT,
            stdout=output,
            stderr=output,
        )

    def confirm(self, label: str, request: str, digest: str) -> None:
        """A label that a clinician confirms for a film."""
        number = hash(request) % 10_000
        said = prediction(number, request_id=request, image_sha256=digest)
        self.records.append(entry(number, request_id=request), [said]).result(30)
        report(self.records, Feedback(MOMENT, PredictionName(request_id=request), label, "dr_who"))

    def log(self) -> list[LogEntry]:
        """Of the registry, the latest entry first."""
        return list(Registry(self.models).log())

    def releases(self) -> set[str]:
        return {path.name for path in self.models.iterdir() if path.is_dir() and not path.name.startswith(".")}

    def decision(self) -> dict:
        [path] = self.folder.glob("runs/retrain-*/decision.json")
        return json.loads(path.read_text())


def test_without_a_trigger_nothing_happens(house, bundle, capsys):
    house.release(bundle)
    with alerting() as (address, _):
        assert house.retrain("--prometheus", address) == 0
    assert "No reason" in capsys.readouterr().out
    assert house.log() == [] and house.releases() == {"chest-xray-1.0.0"}
    assert list(house.folder.glob("runs/retrain-*")) == []


def test_a_dry_run_shows_triggers_and_trains_nothing(house, bundle, capsys):
    house.release(bundle)
    house.confirm("Normal", "one", "ab" * 32)
    with alerting(DRIFT) as (address, _):
        assert house.retrain("--prometheus", address, "--dry-run", "--labels", "0") == 0
    shown = capsys.readouterr().out
    assert "Reason: ChestXrayRetrainDrift (feature mean)" in shown and "Reason: NewLabels (1 confirmed" in shown
    assert list(house.folder.glob("runs/retrain-*")) == []


def test_a_second_retraining_at_the_same_time_is_refused(house, bundle, capsys):
    house.release(bundle)
    guard = house.folder / "runs" / ".retrain.lock"
    guard.parent.mkdir()
    guard.touch()
    held = lock(guard, wait=False)
    assert house.retrain("--force", "a reason") == 1
    os.close(held)
    assert "Another retraining is under way" in capsys.readouterr().err


def test_a_better_challenger_is_trained_on_new_films_promoted_and_logged(house, weak):
    house.release(weak)
    for index, finding in enumerate([*Finding] * 2):
        house.confirm(finding, f"request-{index}", archived(house.folder / "archive", finding, 95_000 + index))
    assert house.retrain("--labels", "5", "--archive", str(house.folder / "archive"), "--mlflow", "retraining") == 0
    decision = house.decision()
    assert decision["promoted"] is True and decision["films"]["added"] == 6
    assert [trigger["name"] for trigger in decision["triggers"]] == ["NewLabels"]
    assert decision["comparison"]["difference"]["headline"]["interval_95"]["macro_f1"][0] > 0
    assert read_choice(house.models) == ServingChoice(Served("chest-xray-1.1.0"), (Served("chest-xray-1.0.0"),))
    released = ModelBundle.open(house.models / "chest-xray-1.1.0")
    assert released.manifest.test_metrics["headline"]["macro_f1"] > 0.8
    [entry] = house.log()
    assert entry.event == "promoted" and "NewLabels (6 confirmed" in entry.note
    assert in_mlflow(house)["retraining.promoted"] == "True"


def test_a_challenger_that_is_not_better_is_kept_out_and_not_trained_again(house, strong, capsys):
    house.release(strong)
    options = [part for change in NOTHING_LEARNT for part in ("--set", change)]
    with alerting(DRIFT) as (address, _):
        assert house.retrain("--prometheus", address, *options) == 0
        decision = house.decision()
        assert decision["promoted"] is False and "macro_f1" in decision["verdict"]
        assert house.releases() == {"chest-xray-1.0.0"}
        assert read_choice(house.models) is None
        [entry] = house.log()
        assert (entry.event, entry.release) == ("kept", "chest-xray-1.0.0") and "ChestXrayRetrainDrift" in entry.note
        capsys.readouterr()
        assert house.retrain("--prometheus", address, *options) == 0
    assert "decided on these films already" in capsys.readouterr().out
    assert len(house.log()) == 1


def test_a_worse_challenger_is_kept_out_and_its_classes_are_named(house, strong):
    """Three steps at a hundred times the learning rate leave little of what there was."""
    house.release(strong)
    ruin = ("optimiser.learning_rate=0.1", "schedule.warmup_epochs=0", "schedule.epochs=1", "schedule.cycle_epochs=1")
    assert house.retrain("--force", "a reason", *[part for change in ruin for part in ("--set", change)]) == 0
    decision = house.decision()
    assert decision["promoted"] is False
    assert "recall of" in decision["verdict"] and "Asked for (a reason)" in house.log()[0].note
    assert house.releases() == {"chest-xray-1.0.0"}


def there_is(pattern):
    return lambda house: any(house.folder.glob(pattern))


def begins(step):
    return lambda house: any(f"== {step} ==" in log.read_text() for log in house.folder.glob("runs/retrain-*/retrain.log"))


MOMENTS = {
    "training, after its first epoch": there_is("runs/retrain-*/latest_checkpoint.pt"),
    "export, in the middle of its files": there_is("runs/retrain-*/bundle/.chest-xray-1.1.0.*/new/model.onnx"),
    "evaluation": begins("compare"),
    "after the decision": there_is("runs/retrain-*/pending.json"),
    "after the release was added, before it is chosen": there_is("models/chest-xray-1.1.0"),
    "after the release was chosen, before the decision is in MLflow": there_is("models/registry.json"),
}


def test_a_killed_retraining_goes_on_by_the_same_command_wherever_it_was_killed(house, weak):
    """Its steps end with it, so that two never write to one folder; a release is complete or absent."""
    house.release(weak)
    two_epochs = ("--set", "schedule.epochs=2", "--set", "schedule.cycle_epochs=1")
    command = ("--force", "a reason", "--mlflow", "retraining", *two_epochs)
    for moment, has_come in MOMENTS.items():
        process = house.start(*command)
        eventually(lambda: process.poll() is not None or has_come(house), patience_seconds=600)  # noqa: B023
        assert has_come(house), f"this moment never came: {moment}"
        steps = process.children(recursive=True)
        process.kill()
        assert process.wait() == -signal.SIGKILL, f"it ended before it was killed: {moment}"
        assert psutil.wait_procs(steps, timeout=20)[1] == []
        for release in house.releases():
            ModelBundle.open(house.models / release)
    assert house.start(*command).wait(600) == 0
    assert house.decision()["promoted"] is True
    assert "Resumed after epoch" in (house.folder / "output").read_text()
    assert house.releases() == {"chest-xray-1.0.0", "chest-xray-1.1.0"}
    assert read_choice(house.models) == ServingChoice(Served("chest-xray-1.1.0"), (Served("chest-xray-1.0.0"),))
    assert [entry.event for entry in house.log()] == ["promoted"]
    assert in_mlflow(house)["retraining.promoted"] == "True"


def in_mlflow(house) -> dict[str, str]:
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{house.folder}/runs/mlflow.db")
    [run] = client.search_runs([client.get_experiment_by_name("retraining").experiment_id])
    return run.data.tags
