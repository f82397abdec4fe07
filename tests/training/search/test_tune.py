"""`cxr tune` on phantoms."""

import json

import optuna
import pytest

from service.commands.cxr import main
from tests.support.training.tiny_training import CONFIG  # noqa: F401 - read by the fixture config_path
from training.config_file import as_toml, load_config
from training.search.space import tuned

pytestmark = pytest.mark.usefixtures("one_torch_thread")


def storage_in(folder):
    return f"sqlite:///{folder / 'new' / 'tune.db'}"


def options(data, config_path, folder, trials, *more):
    where = ["--storage", storage_in(folder), "--study", "phantoms", "--out", str(folder / "tune"), "--trials", str(trials)]
    short = ["--films", "12", "--epochs", "2", "--side-px", "64"]
    return ["tune", "--data", str(data), "--config", str(config_path), *where, *short, *more]


def study_in(folder):
    return optuna.load_study(study_name="phantoms", storage=storage_in(folder))


def test_the_same_command_continues_the_study_and_ends_with_a_configuration_that_loads(data, config_path, tmp_path, capsys):
    assert main(options(data, config_path, tmp_path, 2)) == 0
    first = study_in(tmp_path).trials
    assert len(first) == 2
    base = load_config(config_path)
    assert first[0].params["optimiser.learning_rate"] == base.optimiser.learning_rate, "the base comes first"
    assert main(options(data, config_path, tmp_path, 4)) == 0
    trials = study_in(tmp_path).trials
    assert len(trials) == 4 and [t.params for t in trials[:2]] == [t.params for t in first]
    assert len({json.dumps(trial.params) for trial in trials}) == 4, "a continued study draws new points"
    capsys.readouterr()
    assert main(options(data, config_path, tmp_path, 4)) == 0
    assert len(study_in(tmp_path).trials) == 4, "nothing is left to do"
    printed = capsys.readouterr().out
    best = load_config(tmp_path / "tune" / "phantoms.toml")
    assert best == tuned(base, study_in(tmp_path).best_trial.params)
    assert as_toml(best).strip() in printed
    assert "importance" in printed
    assert sorted(first[0].intermediate_values) == [1, 2] and first[0].value == first[0].intermediate_values[2]
    assert [path.name for path in (tmp_path / "tune").iterdir()] == ["phantoms.toml"]


def test_an_impossible_number_is_refused_by_name(data, config_path, tmp_path, capsys):
    assert main(options(data, config_path, tmp_path, 0)) == 2
    assert "--trials" in (refusal := capsys.readouterr().err) and "must be 1 or more" in refusal
