"""One training run as it is asked for, and the watcher that follows it."""

from dataclasses import dataclass
from pathlib import Path

from training.config import TrainConfig
from training.run.history import EpochRecord


@dataclass(frozen=True)
class TrainingJob:
    """What to train, on what, and where the results go."""

    config: TrainConfig  # settings of the run
    data: Path  # folder train|val|test/<class>/…, optionally with manifest.csv
    out: Path  # folder of the run; created if missing
    version: str = "0.0.0"  # semantic version in the checkpoint's name
    resume: bool = False  # continue from latest_checkpoint.pt in `out`, if it exists
    device: str = ""  # overrides run.device; "" does not
    mlflow: str | None = None  # experiment to track the run in; None for no tracking
    mlflow_checkpoint: bool = False  # store best_model.pt in MLflow too


class RunWatcher:
    """Follows a run from outside: tracks it, or ends it early. This base class does nothing.

    The run's main process calls it. An exception that it raises ends the run; the checkpoints stay.
    """

    def started(self) -> None:
        """Called before the first epoch, and before the first one after resuming."""

    def epoch_done(self, record: EpochRecord) -> None:
        """Called after each epoch, once its checkpoint, history and curves are written."""
