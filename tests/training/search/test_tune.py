"""The search: its space, studies that continue, pruning, interrupted trials, and a best configuration that can be trained."""

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState, create_trial

from training.config import TrainConfig, config_from_dict, load_config
from training.config_text import as_toml
from training.data.folder import scan_folder
from training.errors import ConfigError, TrainingDiverged
from training.search.space import STRENGTHS, base_values, scaled_augment, shortened, suggest, tuned
from training.search.trials import TrialFigures, link_films
from training.search.tune import main, objective, open_study, retry_interrupted

ROOT = Path(__file__).resolve().parents[3]
CONFIGS = sorted((ROOT / "training" / "configs").glob("*.toml"))
pytestmark = pytest.mark.usefixtures("one_torch_thread")
CONFIG = """
[data]
image_size_px = 64
workers = 0
near_duplicate_bits = 3
[augment]
resize_px = 72
[model]
architecture = "mobilenetv3_small_050"
hidden = 16
weights = "none"
[optimiser]
batch_size = 8
[run]
device = "cpu"
threads = 1
"""
FEATURES_SPACE = {"whole_network": False, "knows_sources": True}
PROTOCOL = {"seed": 42, "mode": "features"}


@pytest.fixture(autouse=True)
def quiet_search():
    optuna.logging.set_verbosity(optuna.logging.WARNING)


@pytest.fixture(scope="module")
def data(phantom_dataset):
    return phantom_dataset(films_per_class={"train": 6, "val": 3}, manifest=True)


def storage_in(folder):
    return f"sqlite:///{folder / 'new' / 'tune.db'}"


def options(data, config_path, folder, trials, *more):
    where = ["--storage", storage_in(folder), "--study", "phantoms", "--out", str(folder / "tune"), "--trials", str(trials)]
    short = ["--films", "12", "--views", "2", "--epochs", "2", "--side-px", "64"]
    return ["--data", str(data), "--config", str(config_path), *where, *short, *more]


def study_in(folder):
    return optuna.load_study(study_name="phantoms", storage=storage_in(folder))


def drawn_values(count, **space):
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    return [suggest(study.ask(), **space) for _ in range(count)]


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_a_configuration_written_as_toml_reads_back_equal(path, tmp_path):
    config = load_config(path)
    written = tmp_path / "again.toml"
    written.write_text(as_toml(config, "two lines\nof comment"))
    assert load_config(written) == config


def test_strings_that_toml_must_escape_survive():
    config = config_from_dict({"model": {"weights": "file", "weights_file": 'odd "name"\\ of\tübung.pth'}})
    assert config_from_dict(tomllib.loads(as_toml(config))) == config


@pytest.mark.parametrize("whole_network", [False, True])
@pytest.mark.parametrize("knows_sources", [False, True])
@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_point_of_the_space_is_a_valid_configuration_in_full_and_shortened(path, whole_network, knows_sources):
    base = load_config(path)
    for values in drawn_values(20, whole_network=whole_network, knows_sources=knows_sources):
        config = tuned(base, values)
        short = shortened(config, epochs=4, films=100, all_films=1000, side_px=160)
        assert (short.schedule.epochs, short.data.image_size_px) == (4, 160)
        assert short.optimiser == config.optimiser
        assert config.optimiser.learning_rate == values["optimiser.learning_rate"]


def test_sources_are_balanced_only_where_they_are_known():
    assert {values["data.balance"] for values in drawn_values(60, whole_network=False, knows_sources=False)} == {
        "none",
        "class",
    }
    assert "class_source" in {values["data.balance"] for values in drawn_values(60, **FEATURES_SPACE)}


def test_the_base_configuration_is_a_point_of_its_own_space():
    base = load_config(next(path for path in CONFIGS if path.stem == "release"))
    for whole_network in (False, True):
        values = base_values(base, whole_network=whole_network, knows_sources=True)
        assert tuned(base, values) == base
        study = optuna.create_study()
        study.enqueue_trial(values)
        assert suggest(study.ask(), whole_network=whole_network, knows_sources=True) == values


def test_what_the_space_does_not_hold_of_the_base_is_left_to_be_drawn():
    base = config_from_dict({"schedule": {"frozen_epochs": 5}, "averaging": {"kind": "ema", "decay": 0.5}})
    values = base_values(base, whole_network=True, knows_sources=True)
    assert "schedule.frozen_epochs" not in values and "averaging.decay" not in values
    assert values["averaging.kind"] == "ema" and values["optimiser.backbone_factor"] == 0.1


def test_strength_scales_augmentations_and_keeps_probabilities_below_one():
    augment = config_from_dict({"augment": {"erase": 0.8, "gamma": 1.6, "rotation_degrees": 8.0, "brightness": 0.7}}).augment
    assert scaled_augment(augment, 0.0) == {name: 1.0 if name == "gamma" else 0.0 for name in scaled_augment(augment, 0.0)}
    stronger = scaled_augment(augment, max(STRENGTHS))
    assert (stronger["erase"], stronger["rotation_degrees"], stronger["brightness"]) == (1.0, 12.0, 0.9)
    assert stronger["gamma"] == pytest.approx(1.9)
    assert all(getattr(augment, name) == pytest.approx(value) for name, value in scaled_augment(augment, 1.0).items())


def test_the_average_of_a_short_run_spans_the_same_share_of_its_steps():
    base = config_from_dict({"averaging": {"kind": "ema", "decay": 0.99}, "schedule": {"epochs": 20}})
    short = shortened(base, epochs=5, films=100, all_films=1000, side_px=160)
    # 40 times fewer steps: each forgets what 40 did.
    assert short.averaging.decay == pytest.approx(0.99**40)


def test_trials_link_their_films_with_all_that_is_known_of_them(data, tmp_path):
    films = scan_folder(data)
    chosen = [films[0], *films[-20:]]
    link_films(chosen, tmp_path / "linked")
    linked = scan_folder(tmp_path / "linked")
    assert [(film.relative, film.split, film.source, film.group) for film in linked] == [
        (film.relative, film.split, film.source, film.group) for film in chosen
    ]
    assert linked[0].path.read_bytes() == films[0].path.read_bytes()


def trial_run(curve_of):
    """A stand-in for training: reports the curve that belongs to the configuration."""

    def run(config, report):
        for epoch, value in enumerate(curve_of(config), start=1):
            report(epoch, TrialFigures(0.5, value, value / 2))

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
from training.search.tune import objective, open_study
def die(config, report):
    os.kill(os.getpid(), signal.SIGKILL)
study = open_study(sys.argv[1], "s", {"seed": 42, "mode": "features"})
study.optimize(objective(TrainConfig(), die, "auc", {"whole_network": False, "knows_sources": True}), n_trials=1)
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


def test_a_study_of_other_settings_is_not_continued(tmp_path):
    open_study(storage_in(tmp_path), "s", PROTOCOL)
    with pytest.raises(ConfigError, match=r"other settings \(mode\)"):
        open_study(storage_in(tmp_path), "s", PROTOCOL | {"mode": "short"})


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


def test_short_trials_train_the_whole_network_and_leave_no_run_behind(data, config_path, tmp_path):
    assert main(options(data, config_path, tmp_path, 1, "--mode", "short", "--metric", "val_f1")) == 0
    (trial,) = study_in(tmp_path).trials
    assert sorted(trial.intermediate_values) == [1, 2]
    assert trial.value == trial.intermediate_values[2] == pytest.approx(trial.user_attrs["val_f1"], abs=1e-5)
    assert "schedule.frozen_epochs" in trial.params
    assert [path.name for path in (tmp_path / "tune").iterdir()] == ["phantoms.toml"]


def test_trials_see_nothing_of_a_source_that_is_held_out(data, config_path, tmp_path, monkeypatch):
    sources = []

    def watched(self, films, *arguments, **options):
        sources.append({film.source for film in (*films.training, *films.validation)})
        raise ConfigError("seen enough")

    monkeypatch.setattr("training.search.tune.FeatureTrials.__init__", watched)
    changed = tmp_path / "held_out.toml"
    changed.write_text(config_path.read_text().replace("[data]", '[data]\nheld_out_source = "source0"', 1))
    assert main(options(data, changed, tmp_path, 1)) == 1
    assert sources == [{"source1"}]


def test_impossible_numbers_are_refused_by_name(data, config_path, tmp_path, capsys):
    assert main(options(data, config_path, tmp_path, 0)) == 1
    assert "--trials is 0" in capsys.readouterr().err
