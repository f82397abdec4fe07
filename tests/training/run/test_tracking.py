"""Training tracked by MLflow: what a SQLite store holds after a run, a resumed, a failed and an untracked one."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.training.tiny_training import CONFIG, train
from training.config import TrainConfig
from training.config_file import load_config
from training.errors import ConfigError
from training.run import history
from training.run.history import EpochRecord
from training.run.job import TrainingJob
from training.run.tracking import RUN_NAME, STORE_NAME, open_client, track
from training.run.trainer import Trainer

ROOT = Path(__file__).resolve().parents[3]
pytestmark = pytest.mark.usefixtures("one_torch_thread")
CONFIG = CONFIG.replace("epochs = 3", "epochs = 2")


@pytest.fixture(autouse=True)
def own_environment(monkeypatch):
    """No store of the machine's."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A folder of runs whose SQLite store is made once: making its tables takes seconds."""
    return tmp_path_factory.mktemp("runs")


def client_of(store):
    from mlflow import MlflowClient

    return MlflowClient(f"sqlite:///{store / STORE_NAME}")


def run_of(out):
    note = json.loads((out / RUN_NAME).read_text())
    return client_of(out.parent).get_run(note["run_id"])


def curve(out, name):
    metrics = client_of(out.parent).get_metric_history(run_of(out).info.run_id, name)
    assert len({metric.step for metric in metrics}) == len(metrics), "an epoch was logged twice"
    return {metric.step: metric.value for metric in metrics}


@pytest.fixture(scope="module")
def interrupted(data, config_path, store):
    """A run that was stopped in its second epoch, as by Ctrl-C."""
    out, epoch_of = store / "resumed", Trainer.epoch

    def stop_in_epoch_2(run, number):
        if number == 2:
            raise KeyboardInterrupt
        return epoch_of(run, number)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "epoch", stop_in_epoch_2)
        assert train(config_path, data, out, "--version", "1.2.3", "--mlflow", "phantoms") == 130
    return out


@pytest.fixture(scope="module")
def resumed(interrupted, data, config_path):
    before = run_of(interrupted)
    assert train(config_path, data, interrupted, "--mlflow", "phantoms", "--resume") == 0
    return interrupted, before


def test_an_interrupted_run_is_marked_as_killed_and_keeps_its_epoch(resumed):
    _, before = resumed
    assert before.info.status == "KILLED"
    assert before.data.metrics["val_f1"] >= 0


def test_a_resumed_run_continues_its_mlflow_run_with_the_curves_of_both_epochs(resumed):
    out, before = resumed
    run = run_of(out)
    assert run.info.run_id == before.info.run_id and run.info.status == "FINISHED"
    history = json.loads((out / "training_history.json").read_text())["history"]
    for name in ("train_loss", "val_loss", "train_f1", "val_f1", "val_accuracy", "val_auc", "learning_rate"):
        assert curve(out, name) == pytest.approx(dict(zip(history["epoch"], history[name], strict=True)))
    assert len(client_of(out.parent).search_runs([run.info.experiment_id])) == 1


def test_every_value_of_the_configuration_is_a_parameter(resumed, config_path):
    out, _ = resumed
    found = run_of(out).data.params
    sections = load_config(config_path).as_dict().items()
    assert found == {f"{section}.{key}": str(value) for section, values in sections for key, value in values.items()}


def test_artefacts_hold_history_curves_and_a_config_that_loads(resumed, config_path):
    out, _ = resumed
    run = run_of(out)
    client = client_of(out.parent)
    names = {item.path for item in client.list_artifacts(run.info.run_id)}
    assert names == {
        "config.toml", "training_history.json", "training_curves.png", "validation_report.md",
    }  # fmt: skip
    folder = Path(client.download_artifacts(run.info.run_id, ""))
    assert load_config(folder / "config.toml") == load_config(config_path)
    assert folder.is_relative_to(out.parent), "artefacts stay beside the runs"
    outcome = json.loads((out / "training_history.json").read_text())["outcome"]
    assert run.data.tags["best_epoch"] == str(outcome["best_epoch"])
    assert run.data.tags["version"] == "1.2.3" and len(run.data.tags["data_fingerprint"]) == 64


def tracked(out, experiment="phantoms", resume=False):
    return track(TrainingJob(TrainConfig(), Path("data"), out, resume=resume, mlflow=experiment))


def record(epoch, f1=0.5, auc=0.6):
    return EpochRecord(epoch, False, 1e-3, 1.0, f1, 1.0, f1, f1, auc, 1.0)


def write_history(out, *records):
    out.mkdir(exist_ok=True)
    history.write_history(out, records, {"finished": False})


def test_a_run_refused_before_it_starts_leaves_no_trace_in_mlflow(resumed, data, config_path, capsys):
    out, _ = resumed
    note = (out / RUN_NAME).read_text()
    assert train(config_path, data, out, "--mlflow", "phantoms") == 1
    assert "already holds a run" in capsys.readouterr().err
    assert (out / RUN_NAME).read_text() == note and run_of(out).info.status == "FINISHED"


def test_resuming_under_another_experiment_is_refused(resumed, data, config_path, capsys):
    out, _ = resumed
    assert train(config_path, data, out, "--mlflow", "others", "--resume") == 1
    assert "belongs to the experiment 'phantoms'" in capsys.readouterr().err


def test_resuming_a_run_that_the_store_does_not_know_is_refused_with_the_remedy(store):
    out = store / "unknown"
    out.mkdir()
    (out / RUN_NAME).write_text(json.dumps({"experiment": "phantoms", "run_id": "0" * 32}))
    with pytest.raises(ConfigError, match="begin a new MLflow run"), tracked(out, resume=True) as log_epochs:
        log_epochs()


def test_a_failed_run_is_marked_as_failed_and_an_undefined_auc_is_left_out(store):
    out = store / "failed"
    with pytest.raises(ValueError, match="broken"), tracked(out) as log_epochs:
        write_history(out)
        log_epochs()
        write_history(out, record(1, auc=float("nan")))
        log_epochs()
        raise ValueError("broken")
    assert run_of(out).info.status == "FAILED"
    assert "val_auc" not in run_of(out).data.metrics and run_of(out).data.metrics["val_f1"] == 0.5


def test_epochs_that_the_store_missed_are_made_up_for(store, capsys, monkeypatch):
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    out = store / "gap"
    with tracked(out) as log_epochs:
        write_history(out)
        log_epochs()

        def refuse(*_, **__):
            raise MlflowException("no answer")

        with monkeypatch.context() as patch:
            patch.setattr(MlflowClient, "log_batch", refuse)
            write_history(out, record(1))
            log_epochs()
        assert "no answer" in capsys.readouterr().err
        write_history(out, record(1), record(2, 0.7))
        log_epochs()
    assert curve(out, "val_f1") == {1: 0.5, 2: 0.7}


def test_the_store_that_the_environment_names_is_used(store, tmp_path, monkeypatch):
    address = f"sqlite:///{store / STORE_NAME}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    assert open_client(tmp_path / "run").tracking_uri == address


def test_a_store_that_cannot_be_opened_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "strange://nowhere")
    with pytest.raises(ConfigError, match="MLFLOW_TRACKING_URI"), tracked(tmp_path / "run"):
        pass


def test_without_an_experiment_nothing_is_written(tmp_path):
    with tracked(tmp_path / "run", None) as log_epochs:
        log_epochs()
    assert not list(tmp_path.iterdir())


ASKS_FOR_NOTHING = """
import sys
from pathlib import Path
import training.run.train
from training.config import TrainConfig
from training.run.job import TrainingJob
from training.run.tracking import track
with track(TrainingJob(TrainConfig(), Path("nowhere"), Path("nowhere"))): pass
assert not {"mlflow", "optuna", "sqlalchemy"} & set(sys.modules)
"""


@pytest.mark.slow
def test_mlflow_is_imported_only_when_asked_for():
    done = subprocess.run([sys.executable, "-c", ASKS_FOR_NOTHING], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_telemetry_is_off_once_mlflow_is_imported(store):
    with tracked(store / "quiet"):
        from mlflow.telemetry.utils import is_telemetry_disabled

        assert is_telemetry_disabled() and os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"
