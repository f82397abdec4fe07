"""Weights of several runs averaged: their mean, what it is judged by, and which runs have one."""

import re

import pytest
import torch

from service.commands.cxr import main
from tests.support.training.tiny_training import CONFIG, train
from training.errors import CheckpointInvalid, ConfigError, DatasetError
from training.network.checkpoint import BEST_NAME, LATEST_NAME, load_checkpoint, recipe_of, save_checkpoint
from training.run.average import average_runs, mean_weights

CONFIG = CONFIG.replace("epochs = 3", "epochs = 1").replace("frozen_epochs = 1", "frozen_epochs = 0")


@pytest.fixture(scope="module")
def runs(data, config_path, tmp_path_factory):
    """Two runs that differ in their learning rate."""
    folders = [tmp_path_factory.mktemp("run") for _ in range(2)]
    for rate, folder in zip((1e-3, 3e-3), folders, strict=True):
        assert train(config_path, data, folder, optimiser__learning_rate=rate) == 0
    return folders


def changed_run(folder, path, **changes):
    path.mkdir()
    save_checkpoint(path / BEST_NAME, load_checkpoint(folder / BEST_NAME) | changes)
    return path


def test_weights_and_statistics_are_averaged_and_counters_are_not():
    first = {"weight": torch.tensor([1.0, 3.0]), "num_batches_tracked": torch.tensor(10)}
    second = {"weight": torch.tensor([2.0, -1.0]), "num_batches_tracked": torch.tensor(20)}
    mean = mean_weights([first, second])
    assert mean["weight"].tolist() == [1.5, 1.0]
    assert mean["num_batches_tracked"].item() == 10


def test_the_mean_of_two_runs_is_a_checkpoint_with_both_recipes(runs, data, tmp_path, capsys):
    assert main(["average", *map(str, runs), "--data", str(data), "--out", str(tmp_path / "mean")]) == 0
    averaged = load_checkpoint(tmp_path / "mean" / BEST_NAME)
    states = [load_checkpoint(run / BEST_NAME)["model_state_dict"] for run in runs]
    name = next(name for name in states[0] if name.startswith("head") and name.endswith("weight"))
    torch.testing.assert_close(averaged["model_state_dict"][name], (states[0][name] + states[1][name]) / 2)
    assert not torch.equal(states[0][name], states[1][name])
    assert [recipe["optimiser"]["learning_rate"] for recipe in averaged["averaged_runs"]] == [1e-3, 3e-3]
    table = capsys.readouterr().out
    assert str(runs[0]) in table and str(runs[1]) in table
    f1 = re.search(r"their mean *\| *[\d.]+ *\| *([\d.]+)", table)[1]
    assert averaged["val_f1"] == pytest.approx(float(f1), abs=1e-4)


def test_what_the_runs_began_with_takes_part_where_it_is_asked_for(runs, config_path, data, tmp_path):
    began = {"model__weights": '"checkpoint"', "model__weights_file": f'"{runs[0] / BEST_NAME}"', "loss__distillation": 0.5}
    folders = [tmp_path / "a", tmp_path / "b"]
    for seed, folder in enumerate(folders):
        assert train(config_path, data, folder, **began, run__seed=seed) == 0
    table = average_runs(folders, data, tmp_path / "mean", with_start=True)
    assert "what they began with" in table
    averaged, start, *learned = (load_checkpoint(folder / BEST_NAME) for folder in (tmp_path / "mean", runs[0], *folders))
    name = next(name for name in averaged["model_state_dict"] if name.startswith("head") and name.endswith("weight"))
    expected = sum(each["model_state_dict"][name] for each in (start, *learned)) / 3
    torch.testing.assert_close(averaged["model_state_dict"][name], expected)
    recipe = recipe_of(averaged)
    assert recipe["averaged_with_start"]
    assert not recipe["averaged_last"]
    assert [run["began_with"] for run in recipe["averaged_runs"]] == [start["config"]] * 2
    assert "began_with" not in recipe


def test_the_last_epoch_stands_for_a_run_as_its_running_average_where_it_keeps_one(config_path, data, tmp_path):
    kinds = {
        "ema": {"averaging__kind": '"ema"', "averaging__decay": 0.9, "averaging__start_epoch": 1, "schedule__epochs": 2},
        "none": {"averaging__kind": '"none"'},
    }
    for kind, changes in kinds.items():
        assert train(config_path, data, tmp_path / kind, **changes) == 0
        average_runs([tmp_path / kind] * 2, data, tmp_path / f"{kind}-mean", last=True)
        latest, averaged = (
            load_checkpoint(path) for path in (tmp_path / kind / LATEST_NAME, tmp_path / f"{kind}-mean" / BEST_NAME)
        )
        name = next(name for name in averaged["model_state_dict"] if name.startswith("head") and name.endswith("weight"))
        own = latest["model_state_dict"][name]
        expected = latest["average_state_dict"][f"module.{name}"] if kind == "ema" else own
        torch.testing.assert_close(averaged["model_state_dict"][name], expected)
        assert torch.equal(expected, own) == (kind == "none")


def test_a_run_averaged_with_itself_is_judged_as_it_was_in_training(runs, data, tmp_path):
    table = average_runs([runs[0], runs[0]], data, tmp_path / "mean")
    own, _, mean = table.splitlines()[2:]
    assert own.split("|")[2:] == mean.split("|")[2:]
    history = load_checkpoint(runs[0] / BEST_NAME)["history"]
    assert float(own.split("|")[4]) == pytest.approx(history["val_accuracy"][0], abs=1e-4)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"model_state_dict": {"head": torch.zeros(2)}}, "network"),
        ({"data_fingerprint": "0" * 64}, "data"),
        ({"config": {"model": {"weights": "packaged"}}}, "first weights"),
        ({"config": {"data": {"held_out_source": "clinic"}}}, "held-out source"),
        ({"config": {"run": {"seed": 7}}}, "first weights"),
        ({"first_weights_sha256": "0" * 64}, "first weights"),
        ({"sources_fingerprint": "0" * 64}, "sources or groups"),
    ],
)
def test_runs_that_do_not_fit_each_other_have_no_mean(runs, data, tmp_path, change, what):
    own = load_checkpoint(runs[1] / BEST_NAME)
    if "config" in change:
        sections = {name: own["config"][name] | values for name, values in change["config"].items()}
        change = {"config": own["config"] | sections}
    other = changed_run(runs[1], tmp_path / "other", **change)
    with pytest.raises(CheckpointInvalid, match=f"differ in their .*{what}"):
        average_runs([runs[0], other], data, tmp_path / "mean")
    assert not (tmp_path / "mean").exists()


def test_what_runs_began_with_is_the_same_every_time_and_must_still_be_there(runs, config_path, data, tmp_path):
    means = []
    for name in ("once", "twice"):
        average_runs(runs, data, tmp_path / name, with_start=True)
        means.append(load_checkpoint(tmp_path / name / BEST_NAME)["model_state_dict"])
    torch.testing.assert_close(*means, rtol=0, atol=0)
    start = changed_run(runs[0], tmp_path / "start")
    began = {"model__weights": '"checkpoint"', "model__weights_file": f'"{start / BEST_NAME}"'}
    folder = tmp_path / "later"
    assert train(config_path, data, folder, **began) == 0
    (start / BEST_NAME).write_bytes((runs[1] / BEST_NAME).read_bytes())
    with pytest.raises(CheckpointInvalid, match="is no longer what"):
        average_runs([folder], data, tmp_path / "late", with_start=True)
    assert train(config_path, data, folder, "--resume", **began) == 1


def test_another_manifest_than_that_of_the_runs_is_refused(runs, data, tmp_path):
    manifest = data / "manifest.csv"
    before = manifest.read_text()
    manifest.write_text(before.replace("source0", "elsewhere"))
    try:
        with pytest.raises(DatasetError, match=r"every file and manifest\.csv"):
            average_runs(runs, data, tmp_path / "mean")
    finally:
        manifest.write_text(before)


def test_another_data_folder_and_a_taken_place_are_refused(runs, data, phantom_dataset, tmp_path):
    other = phantom_dataset(films_per_class={"train": 1, "val": 1})
    with pytest.raises(DatasetError, match="not the folder that the runs were trained on"):
        average_runs(runs, other, tmp_path / "mean")
    with pytest.raises(ConfigError, match="already holds"):
        average_runs(runs, data, runs[0])


def test_one_run_alone_is_a_usage_error(runs, data, capsys):
    assert main(["average", str(runs[0]), "--data", str(data), "--out", "runs/mean"]) == 2
    assert "at least two runs, or one and --with-start" in capsys.readouterr().err
