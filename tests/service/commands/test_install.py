"""What is installed with what, and from where; nothing is installed here."""

import os
import subprocess
import sys

import pytest

from service.commands import install


@pytest.fixture
def attempts(monkeypatch):
    """attempts(words that let a command fail) -> exit status, commands: uv's as "uv …", pip's without a name."""

    def run(*failing, driver=False):
        commands = []

        def succeeds(command, _environment=None, **_options):
            text = " ".join(command).removeprefix(f"{sys.executable} -m ").removeprefix("pip --disable-pip-version-check ")
            commands.append(text)
            return not any(each in text for each in failing)

        monkeypatch.setattr(install, "_succeeds", succeeds)
        monkeypatch.setattr(install, "_DRIVER_FILES", (os.devnull,) if driver else ())
        monkeypatch.setattr("shutil.which", lambda _name: None)
        monkeypatch.setattr(sys, "platform", "linux")
        return install.main(["requirements-serve.txt"]), commands

    monkeypatch.delenv("TORCH_BACKEND", raising=False)
    return run


FROM_PIP = "install --requirement requirements-serve.txt"


def test_without_a_driver_the_cpu_build_is_taken_where_its_index_answers(attempts):
    status, commands = attempts()
    assert status == 0
    assert commands[0].startswith("install --quiet uv==")
    assert "--dry-run" in commands[1]
    assert commands[2] == f"uv pip install --python {sys.executable} --torch-backend cpu --requirement requirements-serve.txt"
    assert commands[3].startswith("install --quiet --no-deps --no-build-isolation --editable ")


def test_without_that_index_pypi_has_pytorch(attempts):
    status, commands = attempts("--dry-run")
    assert status == 0
    assert commands[2] == f"uv pip install --python {sys.executable} --requirement requirements-serve.txt"


def test_with_a_driver_nobody_asks_for_the_cpu_build(attempts):
    assert "--torch-backend" not in " ".join(attempts(driver=True)[1])


def test_a_backend_that_is_asked_for_is_insisted_on(attempts, monkeypatch, capsys):
    monkeypatch.setenv("TORCH_BACKEND", "cu130")
    status, commands = attempts(driver=True)
    assert status == 0
    assert "--torch-backend cu130 " in commands[1]
    status, commands = attempts("--torch-backend")
    assert (status, FROM_PIP in commands) == (1, False)
    assert "TORCH_BACKEND=cu130 needs uv and PyTorch's own index;" in capsys.readouterr().err


@pytest.mark.parametrize("failing", [["uv=="], ["uv pip install"]])
def test_pip_installs_where_uv_cannot(attempts, failing):
    status, commands = attempts(*failing)
    assert (status, commands[-2]) == (0, FROM_PIP)
    assert attempts(*failing, FROM_PIP)[0] == 1


def test_uv_is_told_what_pip_is_configured_with(monkeypatch, tmp_path):
    (tmp_path / "pip.conf").write_text(
        "[global]\nindex-url = https://a.example/simple\nfind-links = /wheels\n    /more\n[install]\nconstraint = pins.txt\n"
    )
    for name in [name for name in os.environ if name.startswith(("PIP_", "UV_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
    monkeypatch.setenv("PIP_INDEX_URL", "https://b.example/simple")
    monkeypatch.setenv("UV_CONSTRAINT", "own.txt")
    given = {name: value for name, value in install._uv_environment().items() if name.startswith("UV_")}
    assert given.pop("UV_INDEX_STRATEGY") == "unsafe-best-match"
    assert given.pop("UV_COMPILE_BYTECODE") == "1"
    assert given.pop("UV_FIND_LINKS").endswith("/wheels,/more")
    assert given.pop("UV_CONSTRAINT") == "own.txt"
    assert given["UV_DEFAULT_INDEX"] == "https://b.example/simple"


def test_a_command_that_hangs_is_no_answer(monkeypatch):
    def hang(*_arguments, **options):
        raise subprocess.TimeoutExpired("uv", options["timeout"])

    monkeypatch.setattr(subprocess, "run", hang)
    assert install._reaches_cpu_build({}) is False
