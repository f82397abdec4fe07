"""`cxr ablate` on phantoms."""

import json

import pytest

from service.commands.cxr import main
from tests.support.training.tiny_training import CONFIG  # noqa: F401 - the fixture config_path reads it
from training.config_file import load_config
from training.data.training_data import read_training_data
from training.search import ablate as command
from training.search.ablate import AblationJob
from training.search.ablation import BASELINE

pytestmark = pytest.mark.usefixtures("one_torch_thread")


def options(data, config_path, out, *more):
    fixed = ["--films", "12", "--epochs", "2", "--side-px", "64"]
    return ["ablate", "--data", str(data), "--config", str(config_path), "--out", str(out), *fixed, *more]


def cells_of(out):
    return json.loads((out / "cells.json").read_text())["cells"]


def test_a_rerun_computes_only_the_cells_that_are_missing(data, config_path, tmp_path, capsys, monkeypatch):
    computed = []
    compute = command._compute
    monkeypatch.setattr(command, "_compute", lambda row, seed, *rest: computed.append((row, seed)) or compute(row, seed, *rest))
    out = tmp_path / "ablation"
    assert main(options(data, config_path, out, "--seeds", "1", "--only", "noise")) == 0
    assert computed == [(BASELINE, 0), ("noise", 0)]
    before = cells_of(out)
    assert main(options(data, config_path, out, "--seeds", "2", "--only", "noise", "--only", "mixup")) == 0
    assert computed[2:] == [("mixup", 0), (BASELINE, 1), ("noise", 1), ("mixup", 1)]
    assert cells_of(out)[:2] == before
    assert main(options(data, config_path, out, "--seeds", "2", "--only", "noise", "--only", "mixup")) == 0
    assert len(computed) == 6
    printed = capsys.readouterr().out
    assert "at most 12 training films" in printed and "| mixup" in printed
    assert "| mixup" in (out / "ablation.md").read_text()


def test_a_killed_ablation_keeps_its_finished_cells(data, config_path, tmp_path, monkeypatch):
    compute = command._compute

    def die_at_noise(row, *rest):
        if row == "noise":
            raise KeyboardInterrupt
        return compute(row, *rest)

    out = tmp_path / "ablation"
    monkeypatch.setattr(command, "_compute", die_at_noise)
    assert main(options(data, config_path, out, "--seeds", "1", "--only", "noise")) == 130
    assert [(entry["row"], entry["seed"]) for entry in cells_of(out)] == [(BASELINE, 0)]


def test_cells_of_another_protocol_are_not_mixed_in(data, config_path, tmp_path, capsys):
    out = tmp_path / "ablation"
    only = ("--seeds", "1", "--only", BASELINE)
    assert main(options(data, config_path, out, *only)) == 0
    assert main(options(data, config_path, out, *only, "--epochs", "3")) == 1
    assert "another protocol (schedule.epochs," in capsys.readouterr().err


def test_impossible_numbers_are_refused_by_name(data, config_path, tmp_path, capsys):
    assert main(options(data, config_path, tmp_path, "--seeds", "0")) == 2
    assert "--seeds" in (refusal := capsys.readouterr().err) and "must be 1 or more" in refusal


def test_only_the_head_trains_and_a_seed_repeats_its_cell(data, config_path, tmp_path):
    base = load_config(config_path, ("loss.source_alignment=0.5", 'run.device="cpu"'))
    films = read_training_data(data, base.data)
    config = command._baseline_config(AblationJob(base, data, tmp_path, seeds=1, films=12, epochs=2, side_px=64), films)
    assert config.schedule.frozen_epochs == config.schedule.epochs == 2
    assert command._compute("mixup", 1, config, films) == command._compute("mixup", 1, config, films)
