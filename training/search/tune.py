"""Searches for better training settings, and writes the best as a configuration.

The same job resumes a study until it has the number of trials asked for. optuna-dashboard can show its storage.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import optuna
from optuna.importance import get_param_importances
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from training.config import TrainConfig
from training.config_file import as_toml
from training.data.folder import UNKNOWN_SOURCE
from training.data.subset import films_of_every_class
from training.data.training_data import read_training_data
from training.errors import ConfigError
from training.network.initialise import require_unseen_source
from training.run.history import EpochRecord
from training.search.short_run import short_run, shortened
from training.search.space import SPACE, SPACE_WITHOUT_SOURCES, base_values, tuned
from training.search.study import objective, open_study
from training.tables import markdown_table

_FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)


@dataclass(frozen=True)
class TuneJob:
    """What to search, on what."""

    base: TrainConfig  # the configuration that the search starts with
    data: Path  # folder with train/ and val/
    out: Path  # folder of the best configuration
    storage: str  # of Optuna, as an SQLAlchemy URL
    study: str  # name within the storage
    trials: int  # number of finished trials to reach, pruned ones included
    films: int  # training films, at most
    epochs: int  # of a trial
    side_px: int  # of the model input in trials


def tune(job: TuneJob) -> str:
    """Search, write the best configuration to job.out, and return a summary as Markdown.

    Raises ConfigError or DatasetError.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        return _conclusion(_search(job), job)
    except SQLAlchemyError as fault:
        raise ConfigError(f"The storage cannot be used ({type(fault).__name__}); check --storage.") from fault


def _search(job: TuneJob) -> optuna.Study:
    require_unseen_source(job.base)
    data = read_training_data(job.data, job.base.data)
    films = films_of_every_class(data.train, job.films, job.base.run.seed)
    space = SPACE if any(film.source != UNKNOWN_SOURCE for film in films) else SPACE_WITHOUT_SOURCES
    # What all trials share, as plain values that the storage can hold.
    protocol = {
        **job.base.settings(),
        "films": job.films,
        "epochs": job.epochs,
        "side_px": job.side_px,
        "data": data.data_fingerprint,
        "sources": data.sources_fingerprint,
    }
    study = open_study(job.storage, job.study, protocol)

    def run(config: TrainConfig) -> Iterator[EpochRecord]:
        short = shortened(config, epochs=job.epochs, films=len(films), all_films=len(data.train), side_px=job.side_px)
        return short_run(short, replace(data, train=films))

    finished = len(study.get_trials(deepcopy=False, states=_FINISHED))
    if finished == 0:
        study.enqueue_trial(base_values(job.base, space))
    if finished < job.trials:
        study.optimize(objective(job.base, run, space), n_trials=job.trials - finished, show_progress_bar=True)
    return study


def _conclusion(study: optuna.Study, job: TuneJob) -> str:
    """Best trials, best configuration, and which parameters mattered."""
    trials = study.get_trials(deepcopy=False)
    counts = {state.name.lower(): sum(trial.state is state for trial in trials) for state in TrialState}
    parts = [f"Study {study.study_name}: {', '.join(f'{count} {state}' for state, count in counts.items() if count)}."]
    complete = [trial for trial in trials if trial.state is TrialState.COMPLETE]
    if not complete:
        return "\n\n".join([*parts, "No trial was completed; raise --trials."])
    best = study.best_trial
    comment = (
        f"Trial {best.number} of the study {study.study_name}: macro AUC {best.value:.4f} on the validation split after a "
        "short run;\nlonger runs may rank settings differently."
    )
    text = as_toml(tuned(job.base, best.params), comment)
    path = job.out / f"{study.study_name}.toml"
    job.out.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    parts += [_trial_table(complete), _importance_text(study, complete), text.rstrip()]
    parts.append(f"Written to {path}. Train it: cxr train --config {path} --data DATA --out runs/{study.study_name}")
    return "\n\n".join(parts)


def _trial_table(complete: Sequence[FrozenTrial]) -> str:
    """The five best trials."""
    ranked = sorted(complete, key=lambda trial: -(trial.value or 0.0))[:5]
    rows = [
        (
            str(trial.number),
            ", ".join(f"{name.rpartition('.')[2]} {_short(value)}" for name, value in trial.params.items()),
            f"{trial.value:.4f}",
        )
        for trial in ranked
    ]
    return markdown_table(("trial", "settings", "macro AUC"), rows, words=2)


def _importance_text(study: optuna.Study, complete: Sequence[FrozenTrial]) -> str:
    """fANOVA importance (Hutter et al., ICML 2014)."""
    if len({trial.value for trial in complete}) < 2:
        return "Importance of parameters: too few trials to tell."
    rows = [(name, f"{100 * share:.0f} %") for name, share in get_param_importances(study).items()]
    return markdown_table(("parameter", "importance"), rows)


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
