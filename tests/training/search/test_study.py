"""Studies that continue, pruning, interrupted trials."""

import subprocess
import sys
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState, create_trial

from training.config import TrainConfig
from training.errors import ConfigError, TrainingDiverged
from training.run.loop import EpochMetrics
from training.search.space import Space
from training.search.study import objective, open_study, retry_interrupted

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


def test_a_trial_ended_by_ctrl_c_is_failed_and_tried_again_with_the_same_values(tmp_path):
    def interrupt(config, report):
        raise KeyboardInterrupt

    study = open_study(storage_in(tmp_path), "s", PROTOCOL)
    with pytest.raises(KeyboardInterrupt):
        study.optimize(objective(TrainConfig(), interrupt, "auc", FEATURES_SPACE), n_trials=1)
    study.optimize(objective(TrainConfig(), trial_run(lambda _: [0.5]), "auc", FEATURES_SPACE), n_trials=1)
    first, again = study.trials
    assert (first.state, again.state) == (TrialState.FAIL, TrialState.COMPLETE)
    assert again.params == first.params and again.user_attrs["retry_of"] == first.number


DIES_IN_A_TRIAL = """
import os, signal, sys
from training.config import TrainConfig
from training.search.space import Space
from training.search.study import objective, open_study
def die(config, report):
    os.kill(os.getpid(), signal.SIGKILL)
study = open_study(sys.argv[1], "s", {"seed": 42, "mode": "features"})
study.optimize(objective(TrainConfig(), die, "auc", Space(whole_network=False, knows_sources=True)), n_trials=1)
"""


@pytest.mark.slow
def test_a_trial_whose_process_was_killed_is_failed_and_queued_again_on_resume(tmp_path):
    subprocess.run([sys.executable, "-c", DIES_IN_A_TRIAL, storage_in(tmp_path)], cwd=ROOT, check=False, capture_output=True)
    study = open_study(storage_in(tmp_path), "s", PROTOCOL)
    assert [trial.state for trial in study.trials] == [TrialState.RUNNING]
    assert retry_interrupted(study) == [0]
    assert [trial.state for trial in study.trials] == [TrialState.FAIL, TrialState.WAITING]
    study.optimize(objective(TrainConfig(), trial_run(lambda _: [0.5]), "auc", FEATURES_SPACE), n_trials=1)
    assert study.trials[1].params == study.trials[0].params
    assert retry_interrupted(study) == []


def test_trials_of_other_machines_are_left_alone(tmp_path):
    study = open_study(storage_in(tmp_path), "s", PROTOCOL)
    study.add_trial(create_trial(state=TrialState.RUNNING, user_attrs={"process": "elsewhere:1"}))
    assert retry_interrupted(study) == []
    assert study.trials[0].state is TrialState.RUNNING
