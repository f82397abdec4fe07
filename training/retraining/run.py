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

from service.files import write_json
from service.model.bundle import ModelBundle
from training.errors import ConfigError, StepFailed
from training.network.checkpoint import BEST_NAME
from training.retraining.releases import CLAIM_NAME, next_version, was_promoted
from training.retraining.tracked import track_decision
from training.retraining.verdict import Verdict, judge_challenger

DECISION_NAME = "decision.json"
LOG_NAME = "retrain.log"

# What was decided, and is being carried out.
PENDING_NAME = "pending.json"


@dataclass(frozen=True)
class Retraining:
    """Where a retraining happens, and from which model it goes on.

    folder: of this run. data: to train, calibrate and judge on. models: of the releases. version: of the challenger.
    """

    folder: Path
    champion: ModelBundle
    data: Path
    models: Path
    version: str

    @classmethod
    def begin(cls, folder: Path, champion: ModelBundle, data: Path, models: Path) -> "Retraining":
        """Begin in this folder, or go on there, with the version that was settled when it began."""
        folder.mkdir(parents=True, exist_ok=True)
        claim = folder / CLAIM_NAME
        if not claim.exists():
            manifest = champion.manifest
            version = next_version(manifest.name, manifest.version, models, folder.parent)
            write_json(claim, {"challenger": f"{manifest.name}-{version}"})
        challenger = json.loads(claim.read_text("utf-8"))["challenger"]
        return cls(folder, champion, data, models, challenger.rpartition("-")[2])

    @property
    def challenger(self) -> Path:
        """Where the challenger is exported to: away from the releases, the newest of which would serve."""
        return self.folder / "bundle" / f"{self.champion.manifest.name}-{self.version}"

    def train(self, config: Path, changes: Sequence[str], mlflow: str | None) -> None:
        """Train, or go on where a killed run was. changes: SECTION.KEY=VALUE, `changes_for` among them. Raises StepFailed."""
        options = ["--config", str(config), "--data", str(self.data), "--out", str(self.folder), "--version", self.version]
        for change in changes:
            options += ["--set", change]
        _run(self.folder, "service.commands.cxr", ["train", *options, "--resume", *(["--mlflow", mlflow] if mlflow else [])])

    def export(self) -> None:
        """Turn the best checkpoint into the challenger's bundle, unless that was done. Raises StepFailed."""
        if not self.challenger.exists():
            shutil.rmtree(self.challenger.parent, ignore_errors=True)  # what a killed export left
            checkpoint = ["--checkpoint", str(self.folder / BEST_NAME), "--data", str(self.data)]
            out = ["--version", self.version, "--out", str(self.challenger.parent), "--name", self.champion.manifest.name]
            _run(self.folder, "service.commands.cxr", ["export", *checkpoint, *out, "--no-register"])

    def judge(self, parts: str) -> tuple[Verdict, dict[str, Any]]:
        """Judge both on the test films; the verdict, and the paired figures behind it. Raises StepFailed."""
        out = self._evaluation
        against = ["--data", str(self.data), "--split", "test", "--against", str(self.champion.path)]
        _run(
            self.folder,
            "service.commands.cxr",
            ["evaluate", str(self.challenger), *against, "--parts", parts, "--out", str(out)],
        )
        metrics = json.loads((out / "metrics.json").read_text("utf-8"))
        films_of_class = {finding: figures["support"] for finding, figures in metrics["per_class"].items()}
        return judge_challenger(metrics["comparison"]["difference"], films_of_class), metrics["comparison"]

    def attach(self) -> None:
        """Put the figures into the challenger's bundle. Raises StepFailed."""
        figures = ["--metrics", str(self._evaluation / "metrics.json"), "--card", str(self._evaluation / "MODEL_CARD.md")]
        _run(self.folder, "service.commands.cxr", ["registry", "attach", str(self.challenger), *figures, "--no-register"])

    @property
    def _evaluation(self) -> Path:
        return self.folder / "evaluation"


def decided(folder: Path) -> dict[str, Any] | None:
    """What an earlier start of this retraining decided and carried out."""
    path = folder / DECISION_NAME
    return dict(json.loads(path.read_text("utf-8"))) if path.exists() else None


def settle(folder: Path, decision: dict[str, Any], note: str, mlflow: str | None) -> None:
    """Write the decision down before it is carried out, so that a run that is killed meanwhile can be resumed."""
    write_json(folder / PENDING_NAME, {"decision": decision, "note": note, "mlflow": mlflow})


def unfinished(runs: Path) -> list[Path]:
    """Folders of retrainings that were killed while they carried out what they had decided."""
    return sorted(path.parent for path in runs.glob(f"*/{PENDING_NAME}"))


def carry_out(folder: Path, models: Path) -> str:
    """Do what was settled, as far as it was not done; returns its note. Every step may be repeated.

    Releases the challenger and lets it serve, or notes why the champion goes on; puts the decision into MLflow; and last
    writes decision.json, which stands for a retraining that is over. Raises StepFailed or ConfigError.
    """
    pending = folder / PENDING_NAME
    settled = json.loads(pending.read_text("utf-8"))
    decision, note = settled["decision"], settled["note"]
    registry = ["registry", "--models", str(models)]
    if not decision["promoted"]:
        _run(folder, "service.commands.cxr", [*registry, "note", note])
    elif not was_promoted(decision["challenger"], models):
        _run(folder, "service.commands.cxr", [*registry, "add", str(folder / "bundle" / decision["challenger"])])
        _run(folder, "service.commands.cxr", [*registry, "promote", decision["challenger"], "--note", note])
    if settled["mlflow"]:
        track_decision(settled["mlflow"], folder, decision)
    write_json(folder / DECISION_NAME, decision)
    pending.unlink()
    return str(note)


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


def _run(folder: Path, module: str, options: Sequence[str]) -> None:
    """One command of another room; its output goes on the screen and into the run's log. It ends when we do."""
    command = f"python -m {module} {shlex.join(options)}"
    print(f"\n$ {command}", flush=True)
    with (folder / LOG_NAME).open("ab") as log:
        log.write(f"$ {command}\n".encode())
        log.flush()
        process = subprocess.Popen(  # noqa: S603 (our own commands)
            [sys.executable, "-m", "training.retraining.step", module, *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        if process.stdout:
            # By pieces, not lines: progress bars have none.
            while piece := os.read(process.stdout.fileno(), 65536):
                log.write(piece)
                sys.stdout.write(piece.decode(errors="replace"))
                sys.stdout.flush()
    if process.wait() != 0:
        raise StepFailed(
            f"`python -m {module}` ended with status {process.returncode}; {folder / LOG_NAME} says why. Once that "
            "is mended, the same command goes on from here."
        )
