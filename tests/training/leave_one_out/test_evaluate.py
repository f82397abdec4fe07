"""`cxr evaluate --leave-one-out` on phantoms: real runs, real bundles."""

import json

import pytest

from service.commands.cxr import main
from service.model.bundle import ModelBundle
from tests.support.training.tiny_training import CONFIG  # noqa: F401 - the fixture config_path reads CONFIG


def _evaluate(config_path, data, out, *more):
    return main(["evaluate", "--leave-one-out", str(config_path), "--data", str(data), "--out", str(out), *more])


@pytest.mark.long
def test_a_recipe_is_judged_on_a_source_that_its_runs_never_saw_and_the_command_resumes(config_path, data, tmp_path, capsys):
    options = ("--sources", "source0", "--seeds", "1", "--resamples", "20", "--set", "schedule.epochs=2")
    assert _evaluate(config_path, data, tmp_path, *options) == 0
    assert "source left out" in capsys.readouterr().out
    run = tmp_path / "without-source0-seed1"
    training = ModelBundle.open(run / "left-out-0.0.0").manifest.training_config
    assert (training["data"]["held_out_source"], training["run"]["seed"], training["schedule"]["epochs"]) == ("source0", 1, 2)
    measured = json.loads((tmp_path / "metrics.json").read_text())
    # Half of 3 x (8 training and 4 validation) phantoms come from source0.
    assert measured["sources"]["source0"]["films"] == 18
    assert (tmp_path / "report.html").is_file()

    written = {path: path.stat().st_mtime_ns for path in run.rglob("*") if path.is_file()}
    assert _evaluate(config_path, data, tmp_path, *options) == 0
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*") if path.is_file()} == written
    assert _evaluate(config_path, data, tmp_path, *options[:-1], "schedule.epochs=1") == 1
    assert "other settings: schedule.epochs (2, now 1); choose another --out" in capsys.readouterr().err

    (run / "answers-source0.npz").unlink()
    assert _evaluate(config_path, data, tmp_path, *options) == 0
    judged_again = {path.name for path in run.rglob("*") if path.is_file() and path.stat().st_mtime_ns != written.get(path)}
    assert judged_again == {"answers-source0.npz", "leave_one_out.log"}


@pytest.mark.long
def test_each_source_left_out_is_commissioned_by_the_run_without_it(config_path, phantom_dataset, tmp_path):
    data = phantom_dataset(films_per_class={"train": 64, "val": 20}, manifest=True)
    options = ("--sources", "source0", "--seeds", "1", "--resamples", "20", "--commission", "20", "--draws", "1")
    assert _evaluate(config_path, data, tmp_path, *options, "--set", "schedule.epochs=1") == 0
    [trial] = json.loads((tmp_path / "metrics.json").read_text())["commissioning"]
    assert (trial["source"], trial["per_class"], list(trial["figures"])) == (
        "source0",
        20,
        ["released", "fitted", "as written"],
    )
    assert "## Commissioned there" in (tmp_path / "report.md").read_text("utf-8")


def test_a_bundle_and_a_recipe_are_not_judged_together(config_path, data, bundle_path, tmp_path, capsys):
    assert _evaluate(config_path, data, tmp_path, str(bundle_path)) == 2
    assert "give no BUNDLE" in capsys.readouterr().err


def test_options_that_would_say_nothing_are_refused(config_path, data, tmp_path, capsys):
    assert _evaluate(config_path, data, tmp_path, "--split", "val") == 2
    assert "--split: has no meaning with --leave-one-out" in " ".join(capsys.readouterr().err.split())
    assert main(["evaluate", "--data", str(data), "--sources", "source0"]) == 2
    assert "--sources: goes with --leave-one-out or --commission alone" in " ".join(capsys.readouterr().err.split())


def test_too_few_films_to_commission_with_are_named_before_anything_is_trained(config_path, data, tmp_path, capsys):
    assert _evaluate(config_path, data, tmp_path, "--commission", "20") == 1
    assert "source0 has films of 6 patients with Normal" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_source_is_named_before_anything_is_trained(config_path, data, tmp_path, capsys):
    assert _evaluate(config_path, data, tmp_path, "--sources", "nowhere") == 1
    assert "'nowhere' does not hold normal films" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
