"""An Optuna study that can be resumed under the same protocol, and that prunes trials behind the median."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import optuna
from sqlalchemy.engine import make_url

from training.config import TrainConfig
from training.errors import ConfigError, TrainingDiverged
from training.run.history import EpochRecord
from training.search.space import Space, suggest, tuned

# Number of first epochs in which no trial is pruned, since the learning rate is still warming up.
_UNPRUNED_EPOCHS = 2


def open_study(storage: str, name: str, protocol: dict[str, Any]) -> optuna.Study:
    """Create or continue a study. Raises ConfigError if its trials were made under another protocol.

    protocol: what all trials share, as plain values.
    """
    url = make_url(storage)
    if url.get_backend_name() == "sqlite" and url.database:
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    study = optuna.create_study(
        study_name=name,
        storage=storage,
        load_if_exists=True,
        direction="maximize",
        pruner=optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=_UNPRUNED_EPOCHS),
    )
    # Not a constant seed: a resumed study would draw its first points again.
    study.sampler = optuna.samplers.TPESampler(seed=protocol["run.seed"] + len(study.trials))
    kept = study.user_attrs.get("protocol")
    if kept is None:
        study.set_user_attr("protocol", protocol)
    elif kept != protocol:
        differing = ", ".join(key for key, value in protocol.items() if kept.get(key) != value)
        raise ConfigError(
            f"The study {name!r} was made with other settings ({differing}), so that its trials are not comparable; "
            "choose another --study, or the same options."
        )
    return study


def objective(
    base: TrainConfig, run: Callable[[TrainConfig], Iterable[EpochRecord]], space: Space
) -> Callable[[optuna.Trial], float]:
    """The function to maximise: macro AUC after a trial's last epoch. That of its best epoch would reward noise.

    run: trains with a configuration, and yields each epoch. The function raises TrialPruned for a trial behind the median of
    the others at the same epoch, and for one that diverged.
    """

    def value_of(trial: optuna.Trial) -> float:
        auc = 0.0
        try:
            for record in run(tuned(base, suggest(trial, space))):
                auc = record.val_auc
                trial.report(auc, record.epoch)
                if trial.should_prune():
                    raise optuna.TrialPruned(f"behind the median at epoch {record.epoch}")
        except TrainingDiverged as fault:
            raise optuna.TrialPruned("the loss is not finite") from fault
        return auc

    return value_of
