"""MLflow tracking of a training run: parameters, metrics of each epoch, artefacts. Imports MLflow only when asked to.

The store is mlflow.db beside the run's folder (SQLite), or the one that MLFLOW_TRACKING_URI names. A resumed run continues
its MLflow run, whose id is in mlflow_run.json.
"""

import json
import math
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from service.files import write_json
from training.config_file import as_toml
from training.data.validation_report import REPORT_NAME
from training.errors import ConfigError
from training.network.checkpoint import BEST_NAME, load_checkpoint
from training.run.history import CURVES_NAME, HISTORY_NAME, EpochRecord, read_history
from training.run.job import RunWatcher, TrainingJob

if TYPE_CHECKING:
    from mlflow import MlflowClient

RUN_NAME = "mlflow_run.json"
STORE_NAME = "mlflow.db"
ARTEFACTS_FOLDER = "mlflow-artefacts"

_ARTEFACTS = (HISTORY_NAME, CURVES_NAME, REPORT_NAME)


@contextmanager
def track(job: TrainingJob) -> Iterator[RunWatcher]:
    """A watcher that tracks the run in the experiment job.mlflow, or does nothing without one. Ends the MLflow run.

    Raises ConfigError if MLflow is not installed or its store cannot be used.
    """
    if job.mlflow is None:
        yield RunWatcher()
        return
    tracked = TrackedRun(open_client(job.out), job.mlflow, job)
    status = "FAILED"
    try:
        yield tracked
        status = "FINISHED"
    except KeyboardInterrupt:
        status = "KILLED"
        raise
    finally:
        tracked.close(status)


class TrackedRun(RunWatcher):
    """One MLflow run for one training run.

    Logs all epochs of the history that MLflow lacks: tracking may have been off, the run may have been killed, and the store
    may not have answered.
    """

    def __init__(self, client: "MlflowClient", experiment: str, job: TrainingJob) -> None:
        self._client, self._experiment, self._job, self._out = client, experiment, job, job.out
        self._id: str | None = None
        self._logged: set[int] = set()

    def started(self) -> None:
        """Create the MLflow run or continue it. Raises ConfigError."""
        from mlflow.exceptions import MlflowException

        note = self._out / RUN_NAME
        try:
            if self._job.resume and (earlier := _read_note(note)):
                self._continue(earlier)
            else:
                self._create(note)
        except MlflowException as fault:
            raise ConfigError(
                f"MLflow's store cannot be used ({_first_line(fault)}); check --mlflow and MLFLOW_TRACKING_URI, "
                f"or delete {note} to begin a new MLflow run."
            ) from fault
        self._try(self._log_missing_epochs)

    def epoch_done(self, record: EpochRecord) -> None:
        """Log this epoch, and earlier ones that are missing."""
        self._try(self._log_missing_epochs)

    def close(self, status: str) -> None:
        """Store the artefacts and end the MLflow run. status: "FINISHED", "FAILED" or "KILLED"."""
        if self._id is not None:
            self._try(self._store_artefacts)
            self._try(lambda: self._client.set_terminated(self._run_id, status))

    @property
    def _run_id(self) -> str:
        if self._id is None:
            raise RuntimeError("the run has not started")
        return self._id

    def _create(self, note: Path) -> None:
        from mlflow.entities import Param

        found = self._client.get_experiment_by_name(self._experiment)
        if found is None:
            artefacts = None if _asked_uri() else (self._out.resolve().parent / ARTEFACTS_FOLDER / self._experiment).as_uri()
            experiment_id = self._client.create_experiment(self._experiment, artifact_location=artefacts)
        elif found.lifecycle_stage != "active":
            raise ConfigError(f"The MLflow experiment {self._experiment!r} is deleted; restore it or choose another --mlflow.")
        else:
            experiment_id = found.experiment_id
        run = self._client.create_run(experiment_id, run_name=self._out.resolve().name, tags={"version": self._job.version})
        self._id = run.info.run_id
        parameters = [
            Param(f"{section}.{key}", str(value))
            for section, values in self._job.config.as_dict().items()
            for key, value in values.items()
        ]
        self._client.log_batch(self._run_id, params=parameters)
        write_json(note, {"experiment": self._experiment, "run_id": self._id})

    def _continue(self, earlier: dict[str, str]) -> None:
        if earlier["experiment"] != self._experiment:
            raise ConfigError(
                f"{self._out / RUN_NAME} belongs to the experiment {earlier['experiment']!r}, not {self._experiment!r}; "
                "resume with --mlflow and that name."
            )
        self._client.get_run(earlier["run_id"])
        self._id = earlier["run_id"]
        self._client.update_run(self._run_id, status="RUNNING")
        self._logged = {metric.step for metric in self._client.get_metric_history(self._run_id, "val_f1")}

    def _log_missing_epochs(self) -> None:
        from mlflow.entities import Metric

        columns = read_history(self._out).get("history", {})
        now_ms = int(time.time() * 1000)
        for row, epoch in enumerate(columns.get("epoch", [])):
            if epoch in self._logged:
                continue
            values = {name: float(column[row]) for name, column in columns.items() if name != "epoch"}
            metrics = [Metric(name, value, now_ms, epoch) for name, value in values.items() if not math.isnan(value)]
            self._client.log_batch(self._run_id, metrics=metrics)
            self._logged.add(epoch)

    def _store_artefacts(self) -> None:
        self._log_missing_epochs()
        self._client.log_text(self._run_id, as_toml(self._job.config), "config.toml")
        for name in (*_ARTEFACTS, *((BEST_NAME,) if self._job.mlflow_checkpoint else ())):
            if (self._out / name).is_file():
                self._client.log_artifact(self._run_id, str(self._out / name))
        outcome = read_history(self._out).get("outcome", {})
        tags = {name: str(outcome[name]) for name in ("reason", "best_epoch", "best_val_f1") if name in outcome}
        if (self._out / BEST_NAME).is_file():
            checkpoint = load_checkpoint(self._out / BEST_NAME)
            tags |= {name: str(checkpoint[name]) for name in ("data_fingerprint", "git_commit")}
        for name, value in tags.items():
            self._client.set_tag(self._run_id, name, value)

    def _try(self, action: Any) -> None:
        """A store that does not answer must not end hours of training: print the fault; the next epoch logs what is missing."""
        from mlflow.exceptions import MlflowException

        try:
            action()
        except (MlflowException, OSError) as fault:
            print(f"MLflow could not be written ({_first_line(fault)}); training continues.", file=sys.stderr, flush=True)


def _read_note(note: Path) -> dict[str, str] | None:
    """Experiment and run that a run's folder names; None without a note, or if releases before 1.5.0 left half of one."""
    try:
        return dict(json.loads(note.read_text("utf-8")))
    except (FileNotFoundError, ValueError):
        return None


def _asked_uri() -> str | None:
    return os.environ.get("MLFLOW_TRACKING_URI") or None


def open_client(out: Path) -> "MlflowClient":
    """Open the store beside the run's folder, or the one that MLFLOW_TRACKING_URI names. Raises ConfigError."""
    try:
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException
    except ImportError as fault:
        raise ConfigError("--mlflow needs MLflow: pip install -r requirements-train.txt.") from fault
    store = out.resolve().parent / STORE_NAME
    uri = _asked_uri() or f"sqlite:///{store}"
    try:
        if not _asked_uri():
            store.parent.mkdir(parents=True, exist_ok=True)
        return MlflowClient(uri)
    except (MlflowException, OSError) as fault:
        raise ConfigError(f"MLflow's store cannot be opened ({_first_line(fault)}); check MLFLOW_TRACKING_URI.") from fault


def _first_line(fault: Exception) -> str:
    return (str(fault) or type(fault).__name__).partition("\n")[0][:200]
