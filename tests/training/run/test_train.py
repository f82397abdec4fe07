"""Whole training runs on phantom films: files, resuming after a kill, several processes, errors."""

import errno
import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import torch

from service.film.preprocessing import PreprocessSpec
from service.model.findings import FINDINGS
from tests.support.training.tiny_training import CONFIG, train, train_options  # noqa: F401 - the fixture config_path reads CONFIG
from training.config import RunConfig
from training.config_file import config_from_dict
from training.data.batches import EvaluationFilms, FilmStore, batches
from training.data.folder import scan_folder
from training.devices import Compute
from training.network.bundle_weights import load_bundle
from training.network.checkpoint import BEST_NAME, LATEST_NAME, REQUIRED_KEYS, load_checkpoint
from training.network.classifier import build_network
from training.network.running_average import RunningAverage
from training.run.loop import evaluate_epoch
from training.run.objective import Objective

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def finished_run(data, config_path, tmp_path_factory):
    out = tmp_path_factory.mktemp("run")
    assert train(config_path, data, out, "--version", "1.2.3") == 0
    return out


def metrics(out):
    """History without wall times, which differ between runs."""
    history = json.loads((out / "training_history.json").read_text())["history"]
    return {name: column for name, column in history.items() if name != "seconds"}


def command(*arguments, **settings):
    return [sys.executable, "-m", "service.commands.cxr", *train_options(*arguments, **settings)]


def test_a_run_goes_on_from_a_bundle_and_aligning_sources_changes_what_it_learns(bundle_path, config_path, data, tmp_path):
    released = build_network("tf_efficientnet_lite0", hidden=64)
    load_bundle(released, bundle_path)
    changes = {
        "model__architecture": '"tf_efficientnet_lite0"',
        "model__hidden": 64,
        "model__weights": '"bundle"',
        "model__weights_file": f'"{bundle_path}"',
        "schedule__epochs": 1,
        "schedule__frozen_epochs": 0,
        "optimiser__learning_rate": "1e-6",
    }
    learned = {}
    for strength in (0.0, 1.0):
        out = tmp_path / str(strength)
        assert train(config_path, data, out, **changes, loss__source_alignment=strength) == 0
        learned[strength] = load_checkpoint(out / BEST_NAME)["model_state_dict"]
        for name, tensor in released.head.named_parameters():
            torch.testing.assert_close(learned[strength][f"head.{name}"], tensor.detach(), atol=1e-3, rtol=1e-3)
    stem = "backbone.model.conv_stem.weight"
    assert not torch.equal(learned[0.0][stem], learned[1.0][stem])


def test_a_run_leaves_what_the_report_lists(finished_run):
    names = {path.name for path in finished_run.iterdir()}
    assert {
        BEST_NAME,
        LATEST_NAME,
        "training_history.json",
        "training_curves.png",
        "validation_report.md",
    } <= names
    assert any(name.startswith("mobilenetv3_small_050_v1.2.3_") and name.endswith(".pt") for name in names)
    document = json.loads((finished_run / "training_history.json").read_text())
    assert document["outcome"]["finished"] is True and document["history"]["epoch"] == [1, 2, 3]
    assert document["history"]["backbone_frozen"] == [True, False, False]
    assert (finished_run / "training_curves.png").read_bytes()[:4] == b"\x89PNG"


def test_checkpoints_hold_what_section_7_2_lists_and_load_without_pickle(finished_run):
    for name in (BEST_NAME, LATEST_NAME):
        checkpoint = load_checkpoint(finished_run / name)
        assert set(REQUIRED_KEYS) <= set(checkpoint)
        assert checkpoint["class_names"] == [finding.value for finding in FINDINGS]
        assert config_from_dict(checkpoint["config"]).model.architecture == "mobilenetv3_small_050"
        assert len(checkpoint["history"]["val_f1"]) == checkpoint["epoch"]
    history = json.loads((finished_run / "training_history.json").read_text())
    assert load_checkpoint(finished_run / BEST_NAME)["epoch"] == history["outcome"]["best_epoch"]


def refusal_of(out, data, config_path, capsys):
    assert train(config_path, data, out) == 1
    return capsys.readouterr().err


@pytest.mark.parametrize("below", ["file", "file/run"])
def test_an_out_where_a_file_is_in_the_way_is_refused_with_the_remedy(data, config_path, tmp_path, capsys, below):
    (tmp_path / "file").write_text("in the way")
    refusal = refusal_of(tmp_path / below, data, config_path, capsys)
    assert f"--out {tmp_path / below} cannot be written" in refusal and "choose another folder" in refusal


def test_a_folder_without_permission_to_write_is_refused_before_the_films_are_validated(
    data, config_path, tmp_path, capsys, monkeypatch
):
    def refuse(*, dir):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(dir))

    # Tests may run as root, who may write anywhere.
    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    assert f"--out {tmp_path} cannot be written (Permission denied)" in refusal_of(tmp_path, data, config_path, capsys)
    assert not list(tmp_path.iterdir())


def test_a_diverged_run_is_ended_by_name_and_keeps_the_checkpoints_of_the_epochs_before(
    data, config_path, tmp_path, capsys, monkeypatch
):
    begin_epoch = RunningAverage.begin_epoch

    def spoil_epoch_2(average, epoch):
        begin_epoch(average, epoch)
        if epoch == 2:
            next(average._network.parameters()).data.fill_(float("nan"))

    monkeypatch.setattr(RunningAverage, "begin_epoch", spoil_epoch_2)
    refusal = refusal_of(tmp_path / "run", data, config_path, capsys)
    assert "The loss is nan in batch 1 of epoch 2/3 train" in refusal
    for name in (LATEST_NAME, BEST_NAME):
        checkpoint = load_checkpoint(tmp_path / "run" / name)
        assert checkpoint["epoch"] == 1
        assert all(tensor.isfinite().all() for tensor in checkpoint["model_state_dict"].values())


DIES_IN_EPOCH_3 = """
import os, signal, sys
from service.commands.cxr import main
from training.run import trainer
seed_epoch = trainer.seed_epoch
def seed_or_die(config, epoch, rank):
    if epoch == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    seed_epoch(config, epoch, rank)
trainer.seed_epoch = seed_or_die
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("more", [{}, {"loss__source_alignment": 0.6}])
def test_a_run_killed_after_averaging_began_resumes_to_the_same_history_weights_and_average(
    finished_run, data, config_path, tmp_path, more
):
    out = tmp_path / "run"
    if more:
        finished_run = tmp_path / "straight"
        assert subprocess.run(command(config_path, data, finished_run, **more), cwd=ROOT, check=False).returncode == 0
    arguments = command(config_path, data, out, **more)
    killed = subprocess.run([sys.executable, "-c", DIES_IN_EPOCH_3, *arguments[3:]], cwd=ROOT, capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert load_checkpoint(out / LATEST_NAME)["history"]["epoch"] == [1, 2]
    again = subprocess.run([*arguments, "--resume"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    assert "Resumed after epoch" in again.stdout
    assert metrics(out) == metrics(finished_run)
    resumed, straight = (load_checkpoint(path / LATEST_NAME) for path in (out, finished_run))
    for part in ("model_state_dict", "average_state_dict"):
        assert straight[part]
        torch.testing.assert_close(resumed[part], straight[part], rtol=0, atol=0)


@pytest.mark.slow
def test_two_processes_train_together_and_judge_every_validation_film(data, config_path, tmp_path):
    out = tmp_path / "run"
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    module = command(config_path, data, out, optimiser__accumulation_steps=2)[1:]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*launch, *module], cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("epoch   1/3") == 1, "only the main process prints"
    checkpoint = load_checkpoint(out / BEST_NAME)
    network = build_network("mobilenetv3_small_050", hidden=16)
    network.load_state_dict(checkpoint["model_state_dict"])
    films = [film for film in scan_folder(data) if film.split == "val"]
    store = FilmStore(films, PreprocessSpec(image_size_px=64), 64, cache=False)
    loader = batches(EvaluationFilms(store, range(len(films))), 5)
    compute = Compute.of(RunConfig(amp="off"), torch.device("cpu"))
    alone = evaluate_epoch(network, loader, Objective(label_smoothing=0.1), compute, "val")
    best = checkpoint["epoch"] - 1
    assert alone.accuracy == pytest.approx(checkpoint["history"]["val_accuracy"][best])
    assert alone.auc == pytest.approx(checkpoint["history"]["val_auc"][best], abs=1e-6)


def test_an_interrupted_run_says_how_to_continue(config_path, data, tmp_path, monkeypatch, capsys):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("training.run.trainer.seed_epoch", interrupt)
    assert train(config_path, data, tmp_path / "run") == 130
    assert "Interrupted; the same command with --resume continues" in capsys.readouterr().err


def test_a_run_does_not_end_with_its_epochs_of_small_films_and_names_the_side_of_its_best(config_path, data, tmp_path, capsys):
    small = {"small_epochs": 4, "small_side_px": 32, "epochs": 5, "warmup_epochs": 1, "frozen_epochs": 0}
    changes = {f"schedule__{name}": value for name, value in small.items()}
    out = tmp_path / "run"
    assert train(config_path, data, out, **changes, stopping__patience=1, optimiser__learning_rate="1e-9") == 0
    assert load_checkpoint(out / BEST_NAME)["epoch"] == 5
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("epoch ")]
    assert lines[0].endswith("* best at 32 px")
    assert lines[4].endswith("* best at 64 px")


def test_a_finished_folder_is_not_overwritten(finished_run, data, config_path, capsys):
    before = (finished_run / LATEST_NAME).read_bytes()
    assert train(config_path, data, finished_run) == 1
    assert "--resume" in capsys.readouterr().err
    assert (finished_run / LATEST_NAME).read_bytes() == before


def test_resuming_with_another_config_is_refused(finished_run, data, config_path, capsys):
    assert train(config_path, data, finished_run, "--resume", optimiser__learning_rate=0.1) == 1
    assert "another config" in capsys.readouterr().err


def test_mixing_and_swa_train_without_error(data, config_path, tmp_path):
    for number, mixing in enumerate(("mixup_alpha", "cutmix_alpha")):
        out = tmp_path / str(number)
        averaging = {"averaging__kind": '"swa"', "averaging__start_epoch": 1}
        assert train(config_path, data, out, schedule__epochs=2, **averaging, **{f"augment__{mixing}": 0.4}) == 0
        assert metrics(out)["epoch"] == [1, 2]
