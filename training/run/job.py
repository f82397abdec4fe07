"""The parameters of one training run."""

from dataclasses import dataclass
from pathlib import Path

from training.config import TrainConfig


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
