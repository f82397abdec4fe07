"""One retraining, step by step: a step that was done is not done again. Those of other rooms run as their own commands."""

import fcntl
import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from service.contract.errors import ConfigError, StepFailed
from service.contract.manifest import ModelBundle
from training.checkpoint import BEST_NAME
from training.retraining.verdict import Verdict, judge_challenger

DECISION_NAME = "decision.json"
LOG_NAME = "retrain.log"


@dataclass(frozen=True)
class Retraining:
    """Where a retraining happens, and from which model it goes on.

    folder: of this run. data: to train, calibrate and judge on. models: of the releases.
    """

    folder: Path
    champion: ModelBundle
    data: Path
    models: Path

    @property
    def version(self) -> str:
        """Of the challenger: the next minor one."""
        major, minor, _ = self.champion.manifest.version.split(".")
        return f"{major}.{int(minor) + 1}.0"

    @property
    def challenger(self) -> Path:
        """Where the challenger is exported to: away from the releases, the newest of which would serve."""
        return self.folder / "bundle" / f"{self.champion.manifest.name}-{self.version}"

    def decided(self) -> dict[str, Any] | None:
        """What an earlier start of this retraining decided."""
        path = self.folder / DECISION_NAME
        return dict(json.loads(path.read_text("utf-8"))) if path.exists() else None

    def train(self, config: Path, changes: Sequence[str], mlflow: str | None) -> None:
        """Train, or go on where a killed run was. changes: SECTION.KEY=VALUE, `changes_for` among them. Raises StepFailed."""
        options = ["--config", str(config), "--data", str(self.data), "--out", str(self.folder), "--version", self.version]
        for change in changes:
            options += ["--set", change]
        self._run("training.train", [*options, "--resume", *(["--mlflow", mlflow] if mlflow else [])])

    def export(self) -> None:
        """Turn the best checkpoint into the challenger's bundle, unless that was done. Raises StepFailed."""
        if not self.challenger.exists():
            checkpoint = ["--checkpoint", str(self.folder / BEST_NAME), "--data", str(self.data)]
            out = ["--version", self.version, "--out", str(self.challenger.parent), "--name", self.champion.manifest.name]
            self._run("export.export", [*checkpoint, *out, "--no-register"])

    def judge(self, parts: str) -> tuple[Verdict, dict[str, Any]]:
        """Judge both on the test films; the verdict, and the paired figures behind it. Raises StepFailed."""
        out = self.folder / "evaluation"
        against = ["--data", str(self.data), "--split", "test", "--against", str(self.champion.path)]
        self._run("training.evaluation", [str(self.challenger), *against, "--parts", parts, "--out", str(out)])
        metrics = json.loads((out / "metrics.json").read_text("utf-8"))
        films_of_class = {finding: figures["support"] for finding, figures in metrics["per_class"].items()}
        return judge_challenger(metrics["comparison"]["difference"], films_of_class), metrics["comparison"]

    def promote(self, note: str) -> None:
        """Release the challenger with its figures, and let it serve. Raises StepFailed."""
        evaluation = self.folder / "evaluation"
        figures = ["--metrics", str(evaluation / "metrics.json"), "--card", str(evaluation / "MODEL_CARD.md")]
        self._run("export.attach", [str(self.challenger), *figures, "--no-register"])
        released = self.models / self.challenger.name
        if released.exists():
            raise ConfigError(f"{released} exists already; withdraw it, or let it serve: python -m export.registry promote.")
        shutil.copytree(self.challenger, released)
        self._run("export.registry", ["--models", str(self.models), "promote", self.version, "--note", note])

    def keep(self, note: str) -> None:
        """Write down why the champion goes on serving. Raises StepFailed."""
        self._run("export.registry", ["--models", str(self.models), "note", note])

    def write_decision(self, decision: dict[str, Any]) -> None:
        """Last of all: it stands for a retraining that is over."""
        draft = self.folder / f".{DECISION_NAME}"
        draft.write_text(json.dumps(decision, indent=2) + "\n", "utf-8")
        draft.replace(self.folder / DECISION_NAME)

    def _run(self, module: str, options: Sequence[str]) -> None:
        """One command of another room; its output goes on the screen and into the log."""
        print(f"\n$ python -m {module} {shlex.join(options)}", flush=True)
        with (self.folder / LOG_NAME).open("ab") as log:
            log.write(f"$ python -m {module} {shlex.join(options)}\n".encode())
            log.flush()
            process = subprocess.Popen(  # noqa: S603 (our own commands)
                [sys.executable, "-m", module, *options], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
            )
            if process.stdout:
                # By pieces, not lines: progress bars have none.
                while piece := os.read(process.stdout.fileno(), 65536):
                    log.write(piece)
                    sys.stdout.write(piece.decode(errors="replace"))
                    sys.stdout.flush()
        if process.wait() != 0:
            raise StepFailed(
                f"`python -m {module}` ended with status {process.returncode}; {self.folder / LOG_NAME} says why. Once that "
                "is mended, the same command goes on from here."
            )


def changes_for(champion: ModelBundle) -> tuple[str, ...]:
    """What a configuration needs changed to go on from this model, as SECTION.KEY=VALUE."""
    return (
        f'model.architecture="{champion.manifest.architecture}"',
        f"model.hidden={champion.manifest.head.hidden}",
        'model.weights="bundle"',
        f'model.weights_file="{champion.path.resolve()}"',
    )


@contextmanager
def alone(runs: Path) -> Iterator[None]:
    """Raises ConfigError if another retraining is under way there."""
    runs.mkdir(parents=True, exist_ok=True)
    with (runs / ".retrain.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as fault:
            raise ConfigError(f"Another retraining is under way in {runs}; wait for it, or give other --runs.") from fault
        yield
