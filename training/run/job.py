"""One training run as it is asked for, and the watcher that follows it."""

from dataclasses import dataclass
from pathlib import Path

from training.config import TrainConfig
from training.run.history import EpochRecord


@dataclass(frozen=True)
class TrainingJob:
    """What to train, on what, and where the results go.

    config: settings of the run.
    data: folder train|val|test/<class>/…, optionally with manifest.csv.
    out: folder of the run; created if missing.
    version: semantic version in the checkpoint's name.
    resume: continue from latest_checkpoint.pt in `out`, if it exists.
    device: overrides run.device; "" does not.
    mlflow: experiment to track the run in; None for no tracking.
    mlflow_checkpoint: store best_model.pt in MLflow too.
    """

    config: TrainConfig
    data: Path
    out: Path
    version: str = "0.0.0"
    resume: bool = False
    device: str = ""
    mlflow: str | None = None
    mlflow_checkpoint: bool = False


class RunWatcher:
    """Follows a run from outside: tracks it, or ends it early. This base class does nothing.

    The run's main process calls it. An exception that it raises ends the run; the checkpoints stay.
    """

    def started(self) -> None:
        """Called before the first epoch, and before the first one after resuming."""

    def epoch_done(self, record: EpochRecord) -> None:
        """Called after each epoch, once its checkpoint, history and curves are written."""
