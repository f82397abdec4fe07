"""Studies that continue, pruning, interrupted trials."""

from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from training.config import TrainConfig
from training.errors import ConfigError, TrainingDiverged
from training.run.loop import EpochMetrics
from training.search.space import Space
from training.search.study import objective, open_study

ROOT = Path(__file__).resolve().parents[3]
FEATURES_SPACE = Space(whole_network=False, knows_sources=True)
PROTOCOL = {"seed": 42, "mode": "features"}


@pytest.fixture(autouse=True)
def quiet_search():
    optuna.logging.set_verbosity(optuna.logging.WARNING)


def storage_in(folder):
    return f"sqlite:///{folder / 'new' / 'tune.db'}"


def trial_run(curve_of):
    """A stand-in for training: reports the curve that belongs to the configuration."""

    def run(config, report):
        for epoch, value in enumerate(curve_of(config), start=1):
            report(epoch, EpochMetrics(loss=1.0, f1=value / 2, accuracy=0.5, auc=value))

    return run


def test_a_hopeless_trial_is_pruned_and_recorded_as_such(tmp_path):
    study = open_study(storage_in(tmp_path), "s", PROTOCOL)
    good = objective(TrainConfig(), trial_run(lambda _: [0.8] * 5), "auc", FEATURES_SPACE)
    study.optimize(good, n_trials=5)
    study.optimize(objective(TrainConfig(), trial_run(lambda _: [0.1] * 5), "auc", FEATURES_SPACE), n_trials=1)
    last = optuna.load_study(study_name="s", storage=storage_in(tmp_path)).trials[-1]
    assert last.state is TrialState.PRUNED
    assert last.intermediate_values == {1: 0.1, 2: 0.1}, "the first two epochs are never pruned"
    assert study.trials[0].intermediate_values == dict.fromkeys(range(1, 6), 0.8)


def test_a_trial_is_worth_its_last_epoch_not_its_best(tmp_path):
    study = open_study(storage_in(tmp_path), "s", PROTOCOL)
    study.optimize(objective(TrainConfig(), trial_run(lambda _: [0.9, 0.6]), "f1", FEATURES_SPACE), n_trials=1)
    assert study.best_value == pytest.approx(0.3)
    assert study.best_trial.user_attrs["val_auc"] == 0.6


def test_a_diverged_trial_is_pruned_and_the_search_goes_on(tmp_path):
    def diverge(config, report):
        raise TrainingDiverged("nan")

    study = open_study(storage_in(tmp_path), "s", PROTOCOL)
    study.optimize(objective(TrainConfig(), diverge, "auc", FEATURES_SPACE), n_trials=2)
    assert [trial.state for trial in study.trials] == [TrialState.PRUNED] * 2
    assert study.trials[0].user_attrs["diverged"] is True


def test_a_study_of_other_settings_is_not_continued(tmp_path):
    open_study(storage_in(tmp_path), "s", PROTOCOL)
    with pytest.raises(ConfigError, match=r"other settings \(mode\)"):
        open_study(storage_in(tmp_path), "s", PROTOCOL | {"mode": "short"})
