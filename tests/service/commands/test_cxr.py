"""The `cxr` command as a whole: its map, its examples, what it loads, and what it says of faults."""

import re
import shlex
import subprocess
import sys

import pytest
import typer

from service import __version__
from service.commands.cxr import PANELS, build_app, main
from service.errors import SettingsError
from tests.support.server.serving import ROOT

HEAVY = ("torch", "torchvision", "timm", "bentoml", "onnxruntime", "onnx", "sqlalchemy", "cv2", "sklearn", "matplotlib")


def commands(group=None, path=()):
    """(words, command) of every command that can be run."""
    for name, command in (group or typer.main.get_command(build_app())).commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*path, name))
        else:
            yield pytest.param((*path, name), command, id=" ".join((*path, name)))


@pytest.mark.parametrize(("words", "command"), list(commands()))
def test_every_command_has_an_example_that_parses(words, command):
    [example] = re.findall(r"^Example: cxr (.*)$", command.help, flags=re.MULTILINE)
    arguments = shlex.split(example)
    assert tuple(arguments[: len(words)]) == words
    command.make_context(" ".join(words), arguments[len(words) :])


def test_the_version_is_shown(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"cxr {__version__}\n"


def test_help_is_a_map_in_the_order_of_need(capsys):
    assert main(["-h"]) == 0
    shown = capsys.readouterr().out
    names = [name for panel, commands in PANELS.items() for name in (panel, *commands)]
    positions = [re.search(rf"^(│|╭─) {name} ", shown, flags=re.MULTILINE).start() for name in names]
    assert positions == sorted(positions)


def test_help_loads_no_heavy_library_and_takes_little_time():
    code = (
        "import sys, time; from service.commands.cxr import main; main(['--help']); "
        f"print([name for name in {HEAVY} if name in sys.modules]); print(time.process_time())"
    )
    shown = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded, seconds = shown.stdout.splitlines()[-2:]
    assert loaded == "[]"
    assert float(seconds) < 2  # a third of a second on an idle machine


def test_commands_of_packages_that_are_not_there_are_not_shown(monkeypatch, capsys):
    monkeypatch.setitem(PANELS, "Elsewhere", {"travel": "absent.commands.travel"})
    assert main(["--help"]) == 0
    assert "travel" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("fault", "line", "status"),
    [
        (SettingsError("CXR_PORT is unknown."), "CXR_PORT is unknown.", 1),
        (FileNotFoundError(2, "No such file or directory", "films"), "films: No such file or directory.", 1),
        (ModuleNotFoundError("No module named 'torch'", name="torch"), "The Python package torch is missing here.", 1),
    ],
)
def test_a_fault_is_one_line_and_an_exit_status(monkeypatch, capsys, fault, line, status):
    def fail():
        raise fault

    monkeypatch.setattr("service.commands.check.check", fail)
    assert main(["check"]) == status
    printed = capsys.readouterr().err
    assert printed.startswith(line) and printed.count("\n") == 1


@pytest.mark.parametrize(
    ("argv", "line"),
    [
        (["kays"], "No such command 'kays'. Did you mean 'keys'? `cxr --help` shows what it takes."),
        (["keys", "revoke"], "Missing argument 'KEY_ID'. `cxr keys revoke --help` shows what it takes."),
        (
            ["serve", "--port", "x"],
            "Invalid value for '--port': must be a whole number. `cxr serve --help` shows what it takes.",
        ),
    ],
)
def test_wrong_usage_is_one_line_with_the_way_to_the_help(capsys, argv, line):
    assert main(argv) == 2
    assert capsys.readouterr().err == line + "\n"


@pytest.mark.parametrize("bug", [ZeroDivisionError(), ModuleNotFoundError("No module", name="service.commands.absent")])
def test_a_bug_is_not_reported_as_a_fault(monkeypatch, bug):
    def fail():
        raise bug

    monkeypatch.setattr("service.commands.check.check", fail)
    with pytest.raises(type(bug)):
        main(["check"])


def test_ctrl_c_is_status_130(monkeypatch):
    def interrupt():
        raise KeyboardInterrupt

    monkeypatch.setattr("service.commands.check.check", interrupt)
    assert main(["check"]) == 130
