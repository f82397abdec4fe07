import os
import signal
import subprocess
import sys

import pytest

from tests.support.serving import ROOT, free_port

STEP = [sys.executable, "-m", "training.retraining.step"]


def test_a_step_ends_with_the_retraining_that_began_it():
    """Killed itself, the retraining can tell nobody; the other end of the step's input is closed for it."""
    command = [*STEP, "http.server", "--bind", "127.0.0.1", str(free_port())]
    step = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    assert step.poll() is None
    step.stdin.close()
    assert step.wait(60) == -signal.SIGKILL


@pytest.fixture
def open_input():
    """An input that does not end: somebody holds its other end."""
    ours, theirs = os.pipe()
    yield ours
    os.close(ours)
    os.close(theirs)


def test_a_step_is_the_command_that_it_stands_for(open_input, tmp_path):
    def run(*command):
        done = subprocess.run(command, cwd=ROOT, stdin=open_input, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout, done.stderr

    (tmp_path / "film.json").write_text('{"label": "Normal"}')
    read, absent = (["json.tool", str(tmp_path / name)] for name in ("film.json", "absent"))
    for command in (read, absent, ["json.tool", "--help"], ["service.commands.cxr", "registry", "--models", "nowhere", "list"]):
        assert run(*STEP, *command) == run(sys.executable, "-m", *command)
