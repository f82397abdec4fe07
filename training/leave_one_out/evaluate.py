"""`cxr evaluate --leave-one-out`: runs every fold with every seed, and writes the table after each seed."""

import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from service.files import write_json
from training.command_text import command_line
from training.commissioning.trial import Trial, trials_table
from training.commissioning.worth import require_films_left_over
from training.config_file import load_config
from training.data.folder import scan_folder
from training.evaluation.measures.bootstrap import Bootstrap
from training.evaluation.report.files import METRICS_NAME, write_report
from training.leave_one_out.answers import Answers
from training.leave_one_out.folds import make_folds, require_unseen
from training.leave_one_out.left_out_run import LeftOutRun
from training.leave_one_out.report import measure_unseen, unseen_table

_COMMISSIONED = (
    "## Commissioned there\n\nSite profiles for networks that were trained without the source, fitted to a number of films of "
    "each of its classes, and judged on its other patients; means over draws and seeds."
)


@dataclass(frozen=True)
class LeaveOneOut:
    """What to train, and which sources to leave out in turn."""

    config: Path  # the recipe, in TOML
    data: Path  # folder train|val|test/<class>/… with a manifest.csv that names the sources
    out: Path  # folder of runs and table; runs in it are resumed
    changes: list[str] = field(default_factory=list)  # SECTION.KEY=VALUE, over the recipe
    sources: list[str] = field(default_factory=list)  # to leave out; [] for all that hold normal films and films of a disease
    one_hospital: list[str] = field(default_factory=list)  # what is left out together; see `make_folds`
    seeds: int = 2  # runs of each fold, with the seeds 1, 2, …
    threads: int = 1  # films judged at the same time
    resamples: int = 2000  # bootstrap samples behind each interval
    commission: list[int] = field(default_factory=list)  # films of each class to commission with; [] for no trials of it
    draws: int = 20  # trials with each of these numbers, each with other films

    @property
    def command(self) -> str:
        """The command line that the report shows."""
        sources = {"sources": ",".join(self.sources)} if self.sources else {}
        numbers = {"commission": ",".join(map(str, self.commission)), "draws": self.draws} if self.commission else {}
        options = sources | numbers | {"one_hospital": self.one_hospital, "set": self.changes}
        return command_line("cxr evaluate", leave_one_out=self.config, data=self.data, seeds=self.seeds, **options)


def leave_one_out(job: LeaveOneOut) -> dict[str, Any]:
    """Run what is not done yet, and write metrics.json, report.md and report.html. Returns the metrics.

    Raises ConfigError, DatasetError or StepFailed.
    """
    config = load_config(job.config, tuple(job.changes))
    films = scan_folder(job.data)
    folds = make_folds(films, job.sources, job.one_hospital)
    require_unseen(folds, films)
    if job.commission:
        for fold in folds:
            require_films_left_over(fold.judged(films), job.commission)
    answers: dict[str, list[Answers]] = {fold.source: [] for fold in folds}
    trials: list[Trial] = []
    total = len(folds) * job.seeds
    # The outer loop is over seeds, so that a table exists after the first seed.
    for seed in range(1, job.seeds + 1):
        for fold in folds:
            done = sum(map(len, answers.values()))
            print(f"[{done + 1}/{total}] without {fold.held_out}, seed {seed}", file=sys.stderr, flush=True)
            run = LeftOutRun.of(fold, seed, config, job.data, job.out, job.threads)
            answers[fold.source].append(run.answers())
            for per_class in job.commission:
                trials += run.trials(per_class, job.draws)
        measured = {
            "command": job.command,
            "seeds": seed,
            "held_out": {fold.source: fold.held_out for fold in folds},
            "bootstrap": {"resamples": job.resamples, "seed": 0, "over": "groups", "level": 0.95},
            "training_config": config.as_dict(),
            **measure_unseen(answers, Bootstrap(job.resamples, 0)),
            "commissioning": [asdict(trial) for trial in trials],
        }
        write_report(_report(measured, trials), job.out)
        write_json(job.out / METRICS_NAME, measured)
    return measured


def _report(measured: dict[str, Any], trials: list[Trial]) -> str:
    left_out = (f"- {source}: without {names}" for source, names in measured["held_out"].items())
    return "\n\n".join(
        [
            "# Hospitals never seen",
            f"```\n{measured['command']}\n```",
            "Each source is judged by networks that were trained, calibrated and given their thresholds without it. Values are "
            f"means over {measured['seeds']} seeds, in brackets 95 % bootstrap intervals over patients; the mean counts each "
            "source once. AUC: each disease against normal, within the source. Sets hold the truth: share of the prediction "
            "sets that contain the true finding. Errors flagged: share of the errors that are flagged for review.",
            unseen_table(measured),
            "\n".join(left_out),
            *([_COMMISSIONED, trials_table(trials)] if trials else []),
        ]
    )
