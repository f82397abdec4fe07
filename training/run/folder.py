"""The folder of a run: checkpoints, history and curves, written after each epoch and read to resume (REPORT 7.2 and 7.3)."""

import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from service.model.findings import FINDINGS
from training.config import TrainConfig
from training.data.training_data import TrainingData
from training.errors import CheckpointInvalid, ConfigError
from training.network.checkpoint import BEST_NAME, LATEST_NAME, save_checkpoint
from training.network.initialise import initial_recipe, initial_weights_sha256
from training.run.history import EpochRecord, as_columns, draw_curves, write_history
from training.run.job import TrainingJob
from training.run.trainer import Trainer


def claim_folder(job: TrainingJob) -> None:
    """Make job.out if it is missing. Raises ConfigError if it holds a run that is not to be resumed, or cannot be written."""
    out = job.out
    try:
        if (out / LATEST_NAME).is_file() and not job.resume:
            raise ConfigError(f"{out} already holds a run; continue it with --resume or choose another --out.")
        out.mkdir(parents=True, exist_ok=True)
        # The only sure test that the folder is writable.
        with tempfile.TemporaryFile(dir=out):
            pass
    except OSError as fault:
        raise ConfigError(
            f"--out {out} cannot be written ({fault.strerror}); make it writable or choose another folder."
        ) from fault


@dataclass(frozen=True)
class Origin:
    """Everything that a run's results depend on. Only a run of the same origin can resume a checkpoint."""

    config: TrainConfig  # of the run
    data_fingerprint: str  # of the data folder
    sources_fingerprint: str  # of its manifest
    first_weights_sha256: str  # of the file with the initial weights; "" without one
    began_with: dict[str, Any] | None  # recipe of the checkpoint with the initial weights; None without one

    @classmethod
    def of(cls, config: TrainConfig, data: TrainingData) -> "Origin":
        """Hashes and reads the file with the initial weights."""
        return cls(
            config,
            data.data_fingerprint,
            data.sources_fingerprint,
            initial_weights_sha256(config.model),
            initial_recipe(config.model),
        )

    def _fingerprints(self) -> dict[str, str]:
        names = ("data_fingerprint", "sources_fingerprint", "first_weights_sha256")
        return {name: getattr(self, name) for name in names}

    def require_same(self, checkpoint: dict[str, Any]) -> None:
        """Raise CheckpointInvalid if the checkpoint has another origin."""
        for name, own in {"config": self.config.as_dict(), **self._fingerprints()}.items():
            if checkpoint.get(name) != own:
                raise CheckpointInvalid(
                    f"The checkpoint was trained with another {name}; resume with the same one or choose a new --out."
                )

    def checkpoint(self, trainer: Trainer, history: Sequence[EpochRecord]) -> dict[str, Any]:
        """The content of a checkpoint after the last epoch of `history`: tensors and plain values."""
        return {
            "epoch": history[-1].epoch,
            **trainer.state_dict(),
            "val_f1": history[-1].val_f1,
            "config": self.config.as_dict(),
            "class_names": [finding.value for finding in FINDINGS],
            "history": as_columns(history),
            **self._fingerprints(),
            "git_commit": _git_commit(),
            **({"began_with": self.began_with} if self.began_with else {}),
        }


def save_epoch(out: Path, checkpoint: dict[str, Any], history: Sequence[EpochRecord], best: dict[str, Any] | None) -> None:
    """Write latest_checkpoint.pt, history and curves, and if `best` is not None best_model.pt with these weights."""
    if best is not None:
        # Before the latest: after a kill between the two, the resumed run repeats this epoch and writes both again.
        save_checkpoint(out / BEST_NAME, checkpoint | {"model_state_dict": best})
    save_checkpoint(out / LATEST_NAME, checkpoint)
    write_history(out, history, {"finished": False})
    draw_curves(out, history)


def _git_commit() -> str:
    """Commit of the working tree, with a + if it has changes; "unknown" outside git."""
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--dirty=+", "--abbrev=40", "--match="],  # noqa: S607 - git from PATH
            cwd=Path(__file__).parent, capture_output=True, text=True, check=True,
        )  # fmt: skip
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return described.stdout.strip()
