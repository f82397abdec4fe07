"""Studies that continue, pruning, interrupted trials."""

from types import SimpleNamespace

import optuna
import pytest
from optuna.trial import TrialState

from training.config import TrainConfig
from training.errors import ConfigError, TrainingDiverged
from training.search.space import SPACE
from training.search.study import objective, open_study

PROTOCOL = {"run.seed": 42, "films": 600}


@pytest.fixture(autouse=True)
def quiet_search():
    optuna.logging.set_verbosity(optuna.logging.WARNING)


@pytest.fixture
def storage(tmp_path):
    return f"sqlite:///{tmp_path / 'new' / 'tune.db'}"


def optimise(study, aucs, trials=1):
    """With a stand-in for training, whose epochs have these AUCs."""

    def run(config):
        for epoch, auc in enumerate(aucs, start=1):
            if isinstance(auc, type):
                raise auc
            yield SimpleNamespace(epoch=epoch, val_auc=auc)

    study.optimize(objective(TrainConfig(), run, SPACE), n_trials=trials)


def test_a_hopeless_trial_is_pruned_and_recorded_as_such(storage):
    study = open_study(storage, "s", PROTOCOL)
    optimise(study, [0.8] * 5, trials=5)
    optimise(study, [0.1] * 5)
    last = optuna.load_study(study_name="s", storage=storage).trials[-1]
    assert last.state is TrialState.PRUNED
    assert last.intermediate_values == {1: 0.1, 2: 0.1}, "the first two epochs are never pruned"
    assert study.trials[0].intermediate_values == dict.fromkeys(range(1, 6), 0.8)


def test_a_trial_is_worth_its_last_epoch_not_its_best(storage):
    study = open_study(storage, "s", PROTOCOL)
    optimise(study, [0.9, 0.6])
    assert study.best_value == 0.6


def test_a_diverged_trial_is_pruned_and_the_search_goes_on(storage):
    study = open_study(storage, "s", PROTOCOL)
    optimise(study, [0.5, TrainingDiverged], trials=2)
    assert [trial.state for trial in study.trials] == [TrialState.PRUNED] * 2


def test_a_study_of_other_settings_is_not_continued(storage):
    open_study(storage, "s", PROTOCOL)
    with pytest.raises(ConfigError, match=r"other settings \(films\)"):
        open_study(storage, "s", PROTOCOL | {"films": 300})


def test_a_trial_ended_by_ctrl_c_does_not_count_and_the_study_goes_on(storage):
    study = open_study(storage, "s", PROTOCOL)
    with pytest.raises(KeyboardInterrupt):
        optimise(study, [0.5, KeyboardInterrupt])
    optimise(open_study(storage, "s", PROTOCOL), [0.5])
    assert [trial.state for trial in study.trials] == [TrialState.FAIL, TrialState.COMPLETE]
