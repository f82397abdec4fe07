"""An Optuna study that can be continued: opened under one protocol, hopeless trials pruned."""

import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import TrialState
from sqlalchemy.engine import make_url

from training.config import TrainConfig
from training.errors import ConfigError, TrainingDiverged
from training.run.loop import EpochMetrics
from training.search.space import Space, suggest, tuned
from training.search.trials import Report

# No trial is pruned in its first epochs, while the learning rate is still warming up.
_UNPRUNED_EPOCHS = 2


def open_study(storage: str, name: str, protocol: dict[str, Any]) -> optuna.Study:
    """Create or continue a study. Raises ConfigError if its trials were made under another protocol.

    protocol: what all trials share, as plain values.
    """
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
        # With a constant seed, a continued study would draw its first points again.
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


def retry_interrupted(study: optuna.Study) -> list[int]:
    """Mark trials as failed whose process is gone, and queue their values again. Returns their numbers.

    Trials of other machines, and of processes that still run, stay as they are.
    """
    host = socket.gethostname()
    interrupted = []
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        of_host, _, process = str(trial.user_attrs.get("process", f"{host}:0")).rpartition(":")
        # Our own number, on a trial from before this process, was another's.
        if of_host == host and (int(process) == os.getpid() or not _is_running(int(process))):
            study.tell(trial.number, state=TrialState.FAIL)
            study.enqueue_trial(trial.params, user_attrs={"retry_of": trial.number})
            interrupted.append(trial.number)
    return interrupted


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return process != 0


def objective(
    base: TrainConfig, run: Callable[[TrainConfig, Report], None], metric: str, space: Space
) -> Callable[[optuna.Trial], float]:
    """The function to maximise: the metric after a trial's last epoch, since that of the best epoch would reward noise.

    run: one trial. metric: "auc" or "f1". The function raises TrialPruned for trials behind the median of the others at the
    same epoch, and for those that diverged.
    """

    def value_of(trial: optuna.Trial) -> float:
        trial.set_user_attr("process", f"{socket.gethostname()}:{os.getpid()}")
        last: list[float] = []

        def report(epoch: int, metrics: EpochMetrics) -> None:
            last.append(getattr(metrics, metric))
            trial.report(last[-1], epoch)
            for name in ("accuracy", "auc", "f1"):
                trial.set_user_attr(f"val_{name}", round(getattr(metrics, name), 6))
            if trial.should_prune():
                raise optuna.TrialPruned(f"behind the median at epoch {epoch}")

        try:
            run(tuned(base, suggest(trial, space)), report)
        except TrainingDiverged as fault:
            trial.set_user_attr("diverged", True)
            raise optuna.TrialPruned("the loss is not finite") from fault
        except KeyboardInterrupt:
            trial.study.enqueue_trial(trial.params, user_attrs={"retry_of": trial.number})
            raise
        return last[-1]

    return value_of
