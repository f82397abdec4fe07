"""Search for better settings: python -m training.search.tune --data DIR --storage sqlite:///runs/tune.db --trials N.

main() is the table of contents: read, take up the study, try, print. The same command continues a study, until it has N
finished trials; optuna-dashboard reads its storage.
"""

import argparse
import os
import socket
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import optuna
from optuna.importance import get_param_importances
from optuna.study import MaxTrialsCallback
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError
from tqdm import tqdm

from service.film.errors import ChestXrayError
from training.config import TrainConfig, load_config
from training.config_text import as_toml
from training.data.folder import UNKNOWN_SOURCE, scan_folder, without_source
from training.data.subset import films_of_every_class
from training.data.validation import ValidationLimits, validate_dataset
from training.errors import ConfigError, TrainingDiverged
from training.network.initialise import require_unseen_source
from training.search.space import base_values, suggest, tuned
from training.search.trials import FeatureTrials, ShortTrials, TrialFigures, TrialFilms
from training.tables import markdown_table

_FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)
_METRICS = {"val_auc": "auc", "val_f1": "f1"}

# Epochs of a trial: a head needs some, a whole network learns faster and costs more.
_EPOCHS = {"features": 10, "short": 5}

# Epochs in which no trial is pruned: before, the learning rate is still warming up.
_UNPRUNED_EPOCHS = 2


def main(argv: Sequence[str] | None = None) -> int:
    """Start or continue one search. Returns 0, 1 with a message on stderr, or 130 after Ctrl-C."""
    arguments = _parse(argv)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        base = load_config(arguments.config, tuple(arguments.set))
        study = search(base, arguments)
        print(_conclusion(study, base, arguments))
    except KeyboardInterrupt:
        print("\nInterrupted; the same command goes on, and tries the interrupted trial again.", file=sys.stderr)
        return 130
    except (ChestXrayError, OSError) as fault:
        print(f"{type(fault).__name__}: {fault}", file=sys.stderr)
        return 1
    except SQLAlchemyError as fault:
        print(f"The storage cannot be used ({type(fault).__name__}); check --storage.", file=sys.stderr)
        return 1
    return 0


def search(base: TrainConfig, arguments: argparse.Namespace) -> optuna.Study:
    """Try until the study has --trials finished trials, pruned ones counted. Raises ConfigError or DatasetError."""
    for name in ("trials", "films", "views"):
        if getattr(arguments, name) < 1:
            raise ConfigError(f"--{name} is {getattr(arguments, name)}; it must be at least 1.")
    films = _read_films(base, arguments)
    arguments.out.mkdir(parents=True, exist_ok=True)
    epochs = arguments.epochs or _EPOCHS[arguments.mode]
    trials: FeatureTrials | ShortTrials
    if arguments.mode == "features":
        trials = FeatureTrials(films, arguments.out, epochs=epochs, views=arguments.views, side_px=arguments.side_px)
    else:
        trials = ShortTrials(films, arguments.out, epochs=epochs, side_px=arguments.side_px)
    space = {
        "whole_network": arguments.mode == "short",
        "knows_sources": any(film.source != UNKNOWN_SOURCE for film in films.training),
    }
    study = open_study(arguments.storage, arguments.study, _protocol(base, arguments, epochs, films))
    if not study.trials:
        study.enqueue_trial(base_values(base, **space))
    retry_interrupted(study)
    left = arguments.trials - len(study.get_trials(deepcopy=False, states=_FINISHED))
    with tqdm(total=max(0, left), desc="Trials", unit="trial", dynamic_ncols=True, disable=None) as bar:
        if left > 0:
            study.optimize(
                objective(base, trials.run, _METRICS[arguments.metric], space),
                callbacks=[MaxTrialsCallback(arguments.trials, states=_FINISHED), lambda *_: _advance(bar, study)],
            )
    return study


def open_study(storage: str, name: str, protocol: dict[str, Any]) -> optuna.Study:
    """Create the study, or take it up again. Raises ConfigError if its trials were made under another protocol."""
    url = make_url(storage)
    if url.get_backend_name() == "sqlite" and url.database:
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    known = {summary.study_name for summary in optuna.get_all_study_summaries(storage=storage)}
    earlier = len(optuna.load_study(study_name=name, storage=storage).trials) if name in known else 0
    study = optuna.create_study(
        study_name=name,
        storage=storage,
        load_if_exists=True,
        direction="maximize",
        # With the same seed for every session, a continued study would draw its first points again.
        sampler=optuna.samplers.TPESampler(seed=protocol["seed"] + earlier),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=_UNPRUNED_EPOCHS),
    )
    kept = study.user_attrs.get("protocol")
    if kept is None:
        study.set_user_attr("protocol", protocol)
    elif kept != protocol:
        differing = ", ".join(key for key, value in protocol.items() if kept.get(key) != value)
        raise ConfigError(
            f"The study {name!r} was made with other settings ({differing}), so that its trials do not compare; "
            "choose another --study, or the same options."
        )
    return study


def objective(
    base: TrainConfig, run: Callable[..., None], figure: str, space: dict[str, bool]
) -> Callable[[optuna.Trial], float]:
    """A trial's value: the figure after its last epoch, not its best one, which would reward noise.

    Raises TrialPruned for trials behind the median of the others at the same epoch, and for those that diverged.
    """

    def value_of(trial: optuna.Trial) -> float:
        trial.set_user_attr("process", _process())
        last: list[float] = []

        def report(epoch: int, figures: TrialFigures) -> None:
            last.append(getattr(figures, figure))
            trial.report(last[-1], epoch)
            for name in ("accuracy", "auc", "f1"):
                trial.set_user_attr(f"val_{name}", round(getattr(figures, name), 6))
            if trial.should_prune():
                raise optuna.TrialPruned(f"behind the median at epoch {epoch}")

        try:
            run(tuned(base, suggest(trial, **space)), report)
        except TrainingDiverged as fault:
            trial.set_user_attr("diverged", True)
            raise optuna.TrialPruned("the loss was no longer a number") from fault
        except KeyboardInterrupt:
            trial.study.enqueue_trial(trial.params, user_attrs={"retry_of": trial.number})
            raise
        return last[-1]

    return value_of


def retry_interrupted(study: optuna.Study) -> list[int]:
    """Mark trials as failed whose process is gone, and queue their values again; returns their numbers.

    Trials of other machines, and of processes that still run, are left alone.
    """
    host = socket.gethostname()
    interrupted = []
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        of_host, _, process = str(trial.user_attrs.get("process", f"{host}:0")).rpartition(":")
        if of_host == host and not _is_running(int(process)):
            study.tell(trial.number, state=TrialState.FAIL)
            study.enqueue_trial(trial.params, user_attrs={"retry_of": trial.number})
            interrupted.append(trial.number)
    return interrupted


def _process() -> str:
    return f"{socket.gethostname()}:{os.getpid()}"


def _is_running(process: int) -> bool:
    if process in (0, os.getpid()):  # our own number on a trial from before us was another's
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _read_films(base: TrainConfig, arguments: argparse.Namespace) -> TrialFilms:
    require_unseen_source(base)
    limits = ValidationLimits(near_duplicate_bits=base.data.near_duplicate_bits)
    report = validate_dataset(scan_folder(arguments.data), workers=os.cpu_count() or 1, limits=limits)
    report.require_trainable()
    kept = without_source(report.usable, base.data.held_out_source)
    training = [film for film in kept if film.split == "train"]
    validation = [film for film in kept if film.split == "val"]
    drawn = films_of_every_class(training, arguments.films, base.run.seed)
    return TrialFilms(drawn, validation, len(training), f"{report.data_fingerprint} {report.sources_fingerprint}")


_NOT_IN_FEATURES = (
    "\nFrozen features leave loss.source_alignment, loss.distillation and optimiser.accumulation_steps as they were."
)


def _protocol(base: TrainConfig, arguments: argparse.Namespace, epochs: int, films: TrialFilms) -> dict[str, Any]:
    """What all trials of a study share; plain values, as the storage keeps them."""
    return {
        "mode": arguments.mode,
        "metric": arguments.metric,
        "films": arguments.films,
        "views": arguments.views if arguments.mode == "features" else None,
        "epochs": epochs,
        "side_px": arguments.side_px,
        "seed": base.run.seed,
        "data_fingerprint": films.data_fingerprint,
        "base": base.as_dict(),
    }


def _advance(bar: Any, study: optuna.Study) -> None:
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if complete:
        bar.set_postfix_str(f"best {max(trial.value or 0.0 for trial in complete):.4f}")
    bar.update()


def _conclusion(study: optuna.Study, base: TrainConfig, arguments: argparse.Namespace) -> str:
    """Best trial, its configuration, and which parameters mattered; writes the configuration to --out."""
    trials = study.get_trials(deepcopy=False)
    counts = {state.name.lower(): sum(trial.state is state for trial in trials) for state in TrialState}
    parts = [f"Study {study.study_name}: {', '.join(f'{count} {state}' for state, count in counts.items() if count)}."]
    complete = [trial for trial in trials if trial.state is TrialState.COMPLETE]
    if not complete:
        return "\n\n".join([*parts, "No trial was completed; raise --trials."])
    best = study.best_trial
    comment = (
        f"Trial {best.number} of the study {study.study_name}: {arguments.metric} {best.value:.4f} after a short run "
        f"(--mode {arguments.mode});\nlonger runs of whole networks may rank settings otherwise."
        + (_NOT_IN_FEATURES if arguments.mode == "features" else "")
    )
    text = as_toml(tuned(base, best.params), comment)
    path = arguments.out / f"{study.study_name}.toml"
    path.write_text(text, encoding="utf-8")
    parts += [_trial_table(complete, arguments.metric), _importance_text(study, complete), text.rstrip()]
    parts.append(
        f"Written to {path}. Train it: python -m training.run.train --config {path} --data DATA --out runs/{study.study_name}"
    )
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


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m training.search.tune", description="Search for better training settings.")
    parser.add_argument(
        "--data", type=Path, required=True, help="folder train|val|test/<class>/…, optionally with manifest.csv"
    )
    parser.add_argument(
        "--storage", default="sqlite:///runs/tune.db", help="of Optuna, created if absent (default: %(default)s)"
    )
    parser.add_argument(
        "--study", default="tune", help="name within the storage; the same name continues (default: %(default)s)"
    )
    parser.add_argument("--trials", type=int, default=30, help="finished trials the study shall have (default: %(default)s)")
    parser.add_argument(
        "--mode",
        choices=tuple(_EPOCHS),
        default="features",
        help="heads on features of the frozen backbone, or short whole runs (default: %(default)s)",
    )
    parser.add_argument("--metric", choices=tuple(_METRICS), default="val_auc", help="to be raised (default: %(default)s)")
    parser.add_argument(
        "--config",
        type=Path,
        default=Path("training/configs/lite0.toml"),
        help="where the search starts (default: %(default)s)",
    )
    parser.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="override one value of it")
    parser.add_argument(
        "--out", type=Path, default=Path("runs/tune"), help="features and best configuration (default: %(default)s)"
    )
    parser.add_argument("--films", type=int, default=600, help="training films, at most (default: %(default)s)")
    parser.add_argument("--views", type=int, default=5, help="augmented views a film, --mode features (default: %(default)s)")
    parser.add_argument("--epochs", type=int, help="of a trial (default: 10 for features, 5 for short)")
    parser.add_argument("--side-px", type=int, default=160, help="side of the model input in trials (default: %(default)s)")
    return parser.parse_args(argv)


if __name__ == "__main__":
    raise SystemExit(main())
