import os
import signal
import subprocess
import sys

import psutil
import pytest

from tests.support.server.serving import ROOT
from tests.support.waiting import eventually
from training.errors import DatasetError, StepFailed
from training.run.step import run_step

# A retraining whose step never ends by itself.
# A shell that starts tests in the background has them ignore SIGINT.
ENDLESS = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
ENDLESS += "import sys, time; from pathlib import Path; from training.run.step import run_step; "
ENDLESS += "run_step(Path(sys.argv[1]), time.sleep, 600)"


def speak(word: str) -> None:
    print(word, flush=True)
    os.write(2, b"and to stderr, as a library in C does")


def fail() -> None:
    raise DatasetError("There are no films.")


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_step_ends_with_the_retraining_that_began_it(tmp_path, sent):
    retraining = psutil.Popen(
        [sys.executable, "-c", ENDLESS, str(tmp_path / "log")], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    # The step, and multiprocessing's resource tracker.
    eventually(lambda: len(retraining.children()) == 2, patience_seconds=60)
    steps = retraining.children(recursive=True)
    assert len(steps) == 2
    retraining.send_signal(sent)
    assert retraining.wait(timeout=20) == -sent
    assert psutil.wait_procs(steps, timeout=20)[1] == []


def test_the_output_of_a_step_is_shown_and_logged(tmp_path, capsys):
    run_step(tmp_path / "log", speak, "a word")
    for text in (capsys.readouterr().out, (tmp_path / "log").read_text()):
        assert "== speak ==\na word\n" in text and "and to stderr, as a library in C does" in text


def test_the_fault_of_a_step_is_one_line_of_its_log(tmp_path):
    with pytest.raises(StepFailed, match="`fail` ended with status 1"):
        run_step(tmp_path / "log", fail)
    assert (tmp_path / "log").read_text() == "== fail ==\nDatasetError: There are no films.\n"
