"""MLflow tracking of a training run: parameters, metrics of each epoch, artefacts. Imports MLflow only if asked to track.

The store is mlflow.db beside the run's folder (SQLite), or the one that MLFLOW_TRACKING_URI names. A resumed run continues
its MLflow run, whose id is in mlflow_run.json.
"""

import json
import math
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from service.files import write_json
from training.config_file import as_toml
from training.data.validation_report import REPORT_NAME
from training.errors import ConfigError
from training.network.checkpoint import BEST_NAME, load_checkpoint
from training.run.history import CURVES_NAME, HISTORY_NAME, read_history
from training.run.job import TrainingJob

if TYPE_CHECKING:
    from mlflow import MlflowClient

RUN_NAME = "mlflow_run.json"
STORE_NAME = "mlflow.db"
ARTEFACTS_FOLDER = "mlflow-artefacts"

_URI_VARIABLE = "MLFLOW_TRACKING_URI"
_ARTEFACTS = (HISTORY_NAME, CURVES_NAME, REPORT_NAME)


@contextmanager
def track(job: TrainingJob) -> Iterator[Callable[[], None]]:
    """Track the run in the experiment job.mlflow, or not at all if that is None. Ends the MLflow run on leaving.

    Yields `TrackedRun.log_epochs`, to be called before the first epoch and after each one. Raises ConfigError if MLflow is not
    installed or its store cannot be used.
    """
    if job.mlflow is None:
        yield lambda: None
        return
    tracked = TrackedRun(open_client(job.out), job.mlflow, job)
    status = "FAILED"
    try:
        yield tracked.log_epochs
        status = "FINISHED"
    except KeyboardInterrupt:
        status = "KILLED"
        raise
    finally:
        tracked.close(status)


class TrackedRun:
    """One MLflow run for one training run."""

    def __init__(self, client: "MlflowClient", experiment: str, job: TrainingJob) -> None:
        self._client, self._experiment, self._job, self._out = client, experiment, job, job.out
        self._id = ""
        self._logged: set[int] = set()

    def log_epochs(self) -> None:
        """Log all epochs of the history that MLflow lacks; the first call creates the MLflow run or continues it.

        Several are missing after a time without tracking, a kill, or a store that did not answer. Raises ConfigError if the
        MLflow run cannot begin.
        """
        if not self._id:
            self._begin()
        self._try(self._log_missing_epochs)

    def close(self, status: str) -> None:
        """Store the artefacts and end the MLflow run. status: "FINISHED", "FAILED" or "KILLED"."""
        if self._id:
            self._try(self._store_artefacts)
            self._try(lambda: self._client.set_terminated(self._id, status))

    def _begin(self) -> None:
        from mlflow.exceptions import MlflowException

        note = self._out / RUN_NAME
        try:
            if self._job.resume and note.is_file():
                self._continue(json.loads(note.read_text("utf-8")))
            else:
                self._create()
                write_json(note, {"experiment": self._experiment, "run_id": self._id})
        except MlflowException as fault:
            raise ConfigError(
                f"MLflow's store cannot be used ({_first_line(fault)}); check --mlflow and {_URI_VARIABLE}, "
                f"or delete {note} to begin a new MLflow run."
            ) from fault

    def _create(self) -> None:
        from mlflow.entities import Param

        found = self._client.get_experiment_by_name(self._experiment)
        if found is None:
            beside = (self._out.resolve().parent / ARTEFACTS_FOLDER / self._experiment).as_uri()
            artefacts = None if os.environ.get(_URI_VARIABLE) else beside
            experiment_id = self._client.create_experiment(self._experiment, artifact_location=artefacts)
        else:
            experiment_id = found.experiment_id
        run = self._client.create_run(experiment_id, run_name=self._out.resolve().name, tags={"version": self._job.version})
        self._id = run.info.run_id
        parameters = [Param(name, str(value)) for name, value in self._job.config.settings().items()]
        self._client.log_batch(self._id, params=parameters)

    def _continue(self, earlier: dict[str, str]) -> None:
        if earlier["experiment"] != self._experiment:
            raise ConfigError(
                f"{self._out / RUN_NAME} belongs to the experiment {earlier['experiment']!r}, not {self._experiment!r}; "
                "resume with --mlflow and that name."
            )
        self._client.update_run(earlier["run_id"], status="RUNNING")
        self._id = earlier["run_id"]
        self._logged = {metric.step for metric in self._client.get_metric_history(self._id, "val_f1")}

    def _log_missing_epochs(self) -> None:
        from mlflow.entities import Metric

        columns = read_history(self._out).get("history", {})
        now_ms = int(time.time() * 1000)
        for row, epoch in enumerate(columns.get("epoch", [])):
            if epoch in self._logged:
                continue
            values = {name: float(column[row]) for name, column in columns.items() if name != "epoch"}
            metrics = [Metric(name, value, now_ms, epoch) for name, value in values.items() if not math.isnan(value)]
            self._client.log_batch(self._id, metrics=metrics)
            self._logged.add(epoch)

    def _store_artefacts(self) -> None:
        self._log_missing_epochs()
        self._client.log_text(self._id, as_toml(self._job.config), "config.toml")
        for name in _ARTEFACTS:
            if (self._out / name).is_file():
                self._client.log_artifact(self._id, str(self._out / name))
        outcome = read_history(self._out).get("outcome", {})
        tags = {name: outcome[name] for name in ("reason", "best_epoch", "best_val_f1") if name in outcome}
        if (self._out / BEST_NAME).is_file():
            checkpoint = load_checkpoint(self._out / BEST_NAME)
            tags |= {name: checkpoint[name] for name in ("data_fingerprint", "git_commit")}
        for name, value in tags.items():
            self._client.set_tag(self._id, name, str(value))

    def _try(self, action: Callable[[], None]) -> None:
        """Print a fault of the store instead of ending hours of training; the next epoch logs what is missing."""
        from mlflow.exceptions import MlflowException

        try:
            action()
        except (MlflowException, OSError) as fault:
            print(f"MLflow could not be written ({_first_line(fault)}); training continues.", file=sys.stderr, flush=True)


def open_client(out: Path) -> "MlflowClient":
    """Open the store beside the run's folder, or the one that MLFLOW_TRACKING_URI names. Raises ConfigError."""
    try:
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException
    except ImportError as fault:
        raise ConfigError("--mlflow needs MLflow: pip install -r requirements-train.txt.") from fault
    store = out.resolve().parent / STORE_NAME
    try:
        store.parent.mkdir(parents=True, exist_ok=True)
        return MlflowClient(os.environ.get(_URI_VARIABLE) or f"sqlite:///{store}")
    except (MlflowException, OSError) as fault:
        raise ConfigError(f"MLflow's store cannot be opened ({_first_line(fault)}); check {_URI_VARIABLE}.") from fault


def _first_line(fault: Exception) -> str:
    return (str(fault) or type(fault).__name__).partition("\n")[0][:200]
