"""The challenger of a retraining: trains from the champion, exports, evaluates. A finished step is not repeated."""

import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from export.attach import attach
from export.export import export_bundle
from service.files import write_json
from service.model.bundle import ModelBundle
from service.model.releases import state_path
from training.config import TrainConfig
from training.evaluation.evaluate import EvaluationOptions, evaluate
from training.evaluation.parts.table import select_parts
from training.network.checkpoint import BEST_NAME
from training.retraining.verdict import Verdict, judge_challenger
from training.run.job import TrainingJob
from training.run.step import run_step
from training.run.train import train

# File in a run's folder with the version of its challenger, which is settled before training.
CLAIM_NAME = "challenger.json"
LOG_NAME = "retrain.log"

# Parts of the evaluation; the verdict needs the comparison.
_PARTS = "comparison,calibration,operating_points,prediction_sets,outliers"


@dataclass(frozen=True)
class Challenger:
    """A model that may replace the champion."""

    folder: Path  # of its run
    champion: ModelBundle  # released model; training continues from it
    data: Path  # folder to train, calibrate and evaluate on
    version: str  # semantic

    @classmethod
    def begin(cls, folder: Path, champion: ModelBundle, data: Path, models: Path) -> "Challenger":
        """Begin in a folder, or resume there with the version that was settled before. models: folder of the releases."""
        folder.mkdir(parents=True, exist_ok=True)
        claim = folder / CLAIM_NAME
        if not claim.exists():
            manifest = champion.manifest
            version = next_version(manifest.name, manifest.version, models, folder.parent)
            write_json(claim, {"challenger": f"{manifest.name}-{version}"})
        name = json.loads(claim.read_text("utf-8"))["challenger"]
        return cls(folder, champion, data, name.rpartition("-")[2])

    @property
    def bundle(self) -> Path:
        """Folder to export to. It is not among the releases, because the service loads their newest."""
        return self.folder / "bundle" / f"{self.champion.manifest.name}-{self.version}"

    @property
    def _log(self) -> Path:
        return self.folder / LOG_NAME

    def train(self, config: TrainConfig, mlflow: str | None) -> None:
        """Train, or resume a killed run. config: after `changes_for(champion)`. Raises StepFailed."""
        job = TrainingJob(config, self.data, self.folder, version=self.version, resume=True, mlflow=mlflow)
        run_step(self._log, train, job)

    def export(self) -> None:
        """Export the best checkpoint, unless it is exported already. Raises StepFailed."""
        if not self.bundle.exists():
            shutil.rmtree(self.bundle.parent, ignore_errors=True)  # what a killed export left
            run_step(self._log, export, self.folder / BEST_NAME, self.data, self.bundle)

    def evaluate(self) -> tuple[Verdict, dict[str, Any]]:
        """Evaluate both models on the test films. Returns the verdict and the comparison behind it. Raises StepFailed."""
        run_step(self._log, compare, self.bundle, self.data, self.folder / "evaluation", self.champion.path)
        metrics = json.loads((self.folder / "evaluation" / "metrics.json").read_text("utf-8"))
        films_of_class = {finding: of_class["support"] for finding, of_class in metrics["per_class"].items()}
        return judge_challenger(metrics["comparison"]["difference"], films_of_class), metrics["comparison"]

    def attach(self) -> None:
        """Put metrics and model card into the bundle."""
        evaluation = self.folder / "evaluation"
        attach(self.bundle, evaluation / "metrics.json", evaluation / "MODEL_CARD.md")


def export(checkpoint: Path, data: Path, bundle: Path) -> None:
    """Export to the folder <name>-<version>."""
    name, _, version = bundle.name.rpartition("-")
    export_bundle(checkpoint, data, version=version, out=bundle.parent, name=name)


def compare(bundle: Path, data: Path, out: Path, against: Path) -> None:
    """Evaluate a bundle on the test films, compared with another."""
    evaluate(bundle, data, EvaluationOptions(out=out, against=against, parts=select_parts(_PARTS)))


def changes_for(champion: ModelBundle) -> tuple[str, ...]:
    """The changes, as SECTION.KEY=VALUE, that make a configuration continue training from this model."""
    return (
        f'model.architecture="{champion.manifest.architecture}"',
        f"model.hidden={champion.manifest.head.hidden}",
        'model.weights="bundle"',
        f'model.weights_file="{champion.path.resolve()}"',
    )


def next_version(name: str, champion: str, models: Path, runs: Path) -> str:
    """The next minor version that no release, log entry, changelog entry or other run uses.

    name: of the model. champion: its version, such as 1.2.0. models: folder of the releases. runs: folder of retrainings.
    """
    major = int(champion.partition(".")[0])
    minors = [minor for taken_major, minor in _taken(name, models, runs) if taken_major == major]
    return f"{major}.{max([*minors, int(champion.split('.')[1])]) + 1}.0"


def _taken(name: str, models: Path, runs: Path) -> Iterator[tuple[int, int]]:
    """(major, minor) of every version of the model that releases, log, changelog and runs name."""
    texts = [path.read_text("utf-8") for path in (models / "CHANGELOG.md", state_path(models)) if path.exists()]
    texts += [path.name for path in models.iterdir()]
    texts += [path.read_text("utf-8") for path in runs.glob(f"*/{CLAIM_NAME}")]
    # Releases up to 1.3.0 wrote "Challenger 1.2.0" into models/CHANGELOG.md.
    for major, minor in re.findall(rf"(?:\b{re.escape(name)}[- ]|\bChallenger )(\d+)\.(\d+)\.\d+", "\n".join(texts)):
        yield int(major), int(minor)
