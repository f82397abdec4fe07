from pathlib import Path

from training.config import TrainConfig
from training.leave_one_out.folds import Fold
from training.leave_one_out.left_out_run import LeftOutRun


def _run(source: str, held_out: str, seed: int = 1) -> LeftOutRun:
    return LeftOutRun.of(Fold(source, held_out), seed, TrainConfig(), Path("data"), Path("out"), threads=1)


def test_sources_that_are_left_out_together_are_judged_by_one_network() -> None:
    rsna, nih = _run("rsna", "rsna,nih14,rahman/Normal"), _run("nih14", "rsna,nih14,rahman/Normal")
    assert rsna.bundle == nih.bundle and rsna.config == nih.config
    assert rsna.answers_path != nih.answers_path


def test_other_sources_and_other_seeds_have_networks_of_their_own() -> None:
    runs = [_run("rsna", "rsna"), _run("rsna", "rsna,nih14"), _run("rsna", "rsna", seed=2), _run("nih14", "nih14")]
    assert len({run.folder for run in runs}) == len(runs)
    assert all(run.folder.parent == Path("out") for run in runs)
