"""Searches for better training settings, and writes the best as a configuration.

A study continues with the same job until it has the trials asked for. optuna-dashboard reads its storage.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import optuna
from optuna.importance import get_param_importances
from optuna.study import MaxTrialsCallback
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import SQLAlchemyError
from tqdm import tqdm

from training.config import TrainConfig
from training.config_file import as_toml
from training.data.folder import UNKNOWN_SOURCE
from training.data.subset import films_of_every_class
from training.data.training_data import read_training_data
from training.errors import ConfigError
from training.network.initialise import require_unseen_source
from training.search.space import Space, base_values, tuned
from training.search.study import objective, open_study, retry_interrupted
from training.search.trials import FeatureTrials, ShortTrials, TrialFilms
from training.tables import markdown_table

_FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)

# A head needs some epochs; a whole network learns faster, and each of its epochs takes longer.
_EPOCHS = {"features": 10, "short": 5}

_NOT_IN_FEATURES = (
    "\nFrozen features leave loss.source_alignment, loss.distillation and optimiser.accumulation_steps as they were."
)


@dataclass(frozen=True)
class TuneJob:
    """What to search, on what."""

    base: TrainConfig  # the configuration that the search starts with
    data: Path  # folder with train/ and val/
    out: Path  # folder of features and the best configuration
    storage: str  # of Optuna, as an SQLAlchemy URL
    study: str  # name within the storage
    trials: int  # finished trials that the study shall have, pruned ones included
    # "features" trains heads on features of the frozen backbone, "short" makes short whole runs
    mode: Literal["features", "short"]
    metric: Literal["val_auc", "val_f1"]  # to maximise
    films: int  # training films, at most
    views: int  # augmented views of a film, in mode "features"
    epochs: int | None  # of a trial; None is 10 for features and 5 for short runs
    side_px: int  # of the model input in trials


def tune(job: TuneJob) -> str:
    """Search, write the best configuration to job.out, and return what was found, as Markdown.

    Raises ConfigError or DatasetError.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        return _conclusion(_search(job), job)
    except SQLAlchemyError as fault:
        raise ConfigError(f"The storage cannot be used ({type(fault).__name__}); check --storage.") from fault


def _search(job: TuneJob) -> optuna.Study:
    films = _read_films(job)
    job.out.mkdir(parents=True, exist_ok=True)
    epochs = job.epochs or _EPOCHS[job.mode]
    trials: FeatureTrials | ShortTrials
    if job.mode == "features":
        trials = FeatureTrials(films, job.out, epochs=epochs, views=job.views, side_px=job.side_px)
    else:
        trials = ShortTrials(films, job.out, epochs=epochs, side_px=job.side_px)
    space = Space(
        whole_network=job.mode == "short",
        knows_sources=any(film.source != UNKNOWN_SOURCE for film in films.training),
    )
    study = open_study(job.storage, job.study, _protocol(job, epochs, films))
    retry_interrupted(study)
    left = job.trials - len(study.get_trials(deepcopy=False, states=_FINISHED))
    if left == job.trials:
        study.enqueue_trial(base_values(job.base, space))
    with tqdm(total=max(0, left), desc="Trials", unit="trial", dynamic_ncols=True, disable=None) as bar:
        if left > 0:
            study.optimize(
                objective(job.base, trials.run, job.metric.removeprefix("val_"), space),
                callbacks=[MaxTrialsCallback(job.trials, states=_FINISHED), lambda *_: _advance(bar, study)],
            )
    return study


def _read_films(job: TuneJob) -> TrialFilms:
    require_unseen_source(job.base)
    data = read_training_data(job.data, job.base.data)
    drawn = films_of_every_class(data.train, job.films, job.base.run.seed)
    return TrialFilms(drawn, data.val, len(data.train), f"{data.data_fingerprint} {data.sources_fingerprint}")


def _protocol(job: TuneJob, epochs: int, films: TrialFilms) -> dict[str, Any]:
    """What all trials of a study share; plain values, as the storage keeps them."""
    return {
        "mode": job.mode,
        "metric": job.metric,
        "films": job.films,
        "views": job.views if job.mode == "features" else None,
        "epochs": epochs,
        "side_px": job.side_px,
        "seed": job.base.run.seed,
        "data_fingerprint": films.data_fingerprint,
        "base": job.base.as_dict(),
    }


def _advance(bar: Any, study: optuna.Study) -> None:
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if complete:
        bar.set_postfix_str(f"best {max(trial.value or 0.0 for trial in complete):.4f}")
    bar.update()


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
        f"Trial {best.number} of the study {study.study_name}: {job.metric} {best.value:.4f} after a short run "
        f"(--mode {job.mode});\nlonger runs of whole networks may rank settings otherwise."
        + (_NOT_IN_FEATURES if job.mode == "features" else "")
    )
    text = as_toml(tuned(job.base, best.params), comment)
    path = job.out / f"{study.study_name}.toml"
    path.write_text(text, encoding="utf-8")
    parts += [_trial_table(complete, job.metric), _importance_text(study, complete), text.rstrip()]
    parts.append(f"Written to {path}. Train it: cxr train --config {path} --data DATA --out runs/{study.study_name}")
    return "\n\n".join(parts)


def _trial_table(complete: Sequence[FrozenTrial], metric: str) -> str:
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
    return markdown_table(("trial", "settings", metric), rows, words=2)


def _importance_text(study: optuna.Study, complete: Sequence[FrozenTrial]) -> str:
    """fANOVA importance (Hutter et al., ICML 2014) of the parameters that every trial has."""
    if len({trial.value for trial in complete}) < 2:
        return "Importance of parameters: too few trials to tell."
    rows = [(name, f"{100 * share:.0f} %") for name, share in get_param_importances(study).items()]
    return markdown_table(("parameter", "importance"), rows)


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
