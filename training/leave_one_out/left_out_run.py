"""One run without a source: trains, exports, and judges the films of that source. A finished step is not repeated.

Sources that are left out together share a run.
"""

import json
import shutil
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from export.export import export_bundle
from service.files import write_json
from service.model.bundle import ModelBundle
from service.model.findings import FINDINGS
from service.model.observer import Observer
from service.model.predictor import Predictor
from training.commissioning.trial import Trial
from training.commissioning.worth import try_commissioning
from training.config import TrainConfig
from training.data.folder import scan_folder, sources_fingerprint
from training.errors import ConfigError
from training.evaluation.judging.films import judge
from training.evaluation.parts.operating_points import decide_films
from training.leave_one_out.answers import Answers
from training.leave_one_out.folds import Fold
from training.network.checkpoint import BEST_NAME
from training.run.job import TrainingJob
from training.run.step import run_step
from training.run.train import train

ANSWERS_NAME = "answers-{source}.npz"
TRIALS_NAME = "commissioning-{source}-{draws}-draws-of-{per_class}.json"
LOG_NAME = "leave_one_out.log"
CLAIM_NAME = "left_out.json"
_BUNDLE_NAME = "left-out"
_VERSION = "0.0.0"


@dataclass(frozen=True)
class LeftOutRun:
    """One run, with one fold and seed."""

    fold: Fold
    config: TrainConfig  # with the fold's held-out source and the seed
    data: Path
    folder: Path  # of the run; its bundle stays there
    threads: int  # films judged at the same time

    @classmethod
    def of(cls, fold: Fold, seed: int, config: TrainConfig, data: Path, out: Path, threads: int) -> "LeftOutRun":
        """out: folder of all runs."""
        changed = replace(config, data=replace(config.data, held_out_source=fold.held_out), run=replace(config.run, seed=seed))
        names = fold.held_out.replace(",", "+").replace("/", "-")
        return cls(fold, changed, data, out / f"without-{names}-seed{seed}", threads)

    @property
    def bundle(self) -> Path:
        """Folder of the bundle."""
        return self.folder / f"{_BUNDLE_NAME}-{_VERSION}"

    @property
    def answers_path(self) -> Path:
        """File with the answers on the fold's source."""
        return self.folder / ANSWERS_NAME.format(source=self.fold.source)

    def answers(self) -> Answers:
        """Train, export and judge, or resume where a killed run stopped. Raises ConfigError or StepFailed."""
        self._claim()
        log = self.folder / LOG_NAME
        if not self.answers_path.exists():
            if not self.bundle.exists():
                run_step(log, train, TrainingJob(self.config, self.data, self.folder, resume=True))
                run_step(log, export_left_out, self)
            run_step(log, judge_left_out, self)
        return Answers.read(self.answers_path)

    def trials(self, per_class: int, draws: int) -> list[Trial]:
        """Trials of commissioning the run's bundle on films of the source; see `run_trials`. Call `answers` first."""
        path = self.folder / TRIALS_NAME.format(source=self.fold.source, draws=draws, per_class=per_class)
        if not path.exists():
            run_step(self.folder / LOG_NAME, commission_left_out, self, per_class, draws, path)
        return [Trial(**each) for each in json.loads(path.read_text("utf-8"))]

    def _claim(self) -> None:
        """Make the folder, or raise ConfigError if it holds a run of another recipe or other films."""
        own = {**self.config.settings(), "sources of the data": sources_fingerprint(scan_folder(self.data))}
        claim = self.folder / CLAIM_NAME
        if not claim.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            write_json(claim, own)
        found = json.loads(claim.read_text("utf-8"))
        changed = [f"{name} ({found.get(name)}, now {value})" for name, value in own.items() if found.get(name) != value]
        if changed:
            raise ConfigError(f"{self.folder} holds a run with other settings: {', '.join(changed)}; choose another --out.")


def export_left_out(run: LeftOutRun) -> None:
    """Export the best checkpoint."""
    staging = run.folder / "export"
    shutil.rmtree(staging, ignore_errors=True)
    made = export_bundle(run.folder / BEST_NAME, run.data, version=_VERSION, out=staging, name=_BUNDLE_NAME)
    made.path.rename(run.bundle)
    staging.rmdir()


def judge_left_out(run: LeftOutRun) -> None:
    """Judge the films of the source as the service would, with thresholds fitted to the other sources."""
    bundle = ModelBundle.open(run.bundle)
    films = run.fold.judged(scan_folder(run.data))
    split = judge(Predictor.from_bundle(bundle), films, threads=run.threads, observer=Observer.from_bundle(bundle))
    judgements, decisions = split.judgements(), decide_films(split, bundle.manifest)
    Answers(
        labels=judgements.labels,
        probabilities=judgements.probabilities,
        sets=np.array([[finding in decision.prediction_set for finding in FINDINGS] for decision in decisions]),
        flagged=np.array([decision.review_required for decision in decisions]),
        groups=np.array(judgements.groups),
        names=np.array([each.film.relative for each in split.judged]),
    ).write(run.answers_path)


def commission_left_out(run: LeftOutRun, per_class: int, draws: int, path: Path) -> None:
    """Fit site profiles to draws of `per_class` films of each class, and judge them on the source's other patients."""
    trials = try_commissioning(ModelBundle.open(run.bundle), run.data, [run.fold.source], [per_class], draws)
    write_json(path, [asdict(each) for each in trials])
