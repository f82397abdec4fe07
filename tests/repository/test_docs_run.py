"""Commands of README and docs that need neither data nor a cluster, run as they stand in a folder of their own."""

import json
import re
import shlex
import subprocess
import sys

import pytest

from service.commands.cxr import main
from service.records.store import RecordStore
from service.records.values import Feedback
from tests.support.documents import DOCUMENTS, ROOT, blocks, shell_commands
from tests.support.releases import VERSION
from tests.support.server.recorded import MOMENT, entry, of_request, prediction, report
from tests.support.server.serving import environment_without_settings

README, DOCS = DOCUMENTS[0], {document.name: document for document in DOCUMENTS}


def commands(document, *starts):
    """cxr commands that start so, without `cxr`."""
    found = [command.words[1:] for command in shell_commands(document) if command.words[0] == "cxr"]
    return [list(words) for words in found if " ".join(words).startswith(starts)]


@pytest.fixture
def work(tmp_path, monkeypatch):
    """A folder that looks like the repository, to those who read films from it."""
    (tmp_path / "tests").symlink_to(ROOT / "tests")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def records(work, monkeypatch):
    """Two calls, two predictions and a label, in the database that the environment names."""
    url = f"sqlite:///{work}/records.db"
    monkeypatch.setenv("CXR_DATABASE_URL", url)
    store = RecordStore(url)
    store.open()
    for number in range(2):
        store.append(entry(number), [prediction(number)]).result(30)
    report(store, Feedback(MOMENT, of_request(0), "Normal", "dr_who"))
    yield url
    store.close()


def run_python(*command, cwd):
    environment = environment_without_settings() | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, *command]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["README.md", "models.md"])
def test_python_classifies_a_film(name):
    [code] = blocks(DOCS[name], "python")
    done = run_python("-c", code, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert "Tuberculosis" in done.stdout


@pytest.mark.slow
def test_predict_and_score_run_as_the_readme_says(work):
    [predict] = commands(README, "predict")
    done = run_python("-m", "service.commands.cxr", *predict, cwd=work)
    assert done.returncode == 0, done.stderr
    assert done.stdout == blocks(README, "text")[0]
    assert (work / "overlay.png").read_bytes().startswith(b"\x89PNG")
    [score] = commands(README, "score")
    films = [word.replace("/data/archive", "tests/films") for word in score]
    done = run_python("-m", "service.commands.cxr", *films, cwd=work)
    assert done.returncode == 0, done.stderr
    assert "phantom.png" in (work / "predictions.csv").read_text("utf-8")


@pytest.mark.slow
def test_key_commands_run_as_the_docs_say(records, capsys):
    create, show, revoke = commands(DOCS["security.md"], "keys")
    assert main(create) == 0
    key = capsys.readouterr()
    assert key.out.startswith("cxr_")
    assert main(show) == 0
    assert "dr_who" in (listed := capsys.readouterr().out)
    assert main([*revoke[:-1], re.findall(r"^(\w+) +dr_who", listed, re.MULTILINE)[0]]) == 0
    assert main(show) == 0
    assert "revoked" in capsys.readouterr().out


@pytest.mark.slow
def test_audit_commands_run_as_the_docs_say(records, work, capsys):
    for command in commands(DOCS["security.md"], "audit"):
        assert main(command) == 0, capsys.readouterr().err
    head = re.search(r"\d+:[0-9a-f]{64}", capsys.readouterr().out)[0]
    assert main(["audit", "verify", "--expect", head]) == 0
    assert len((work / "audit.csv").read_text("utf-8").splitlines()) == 4


@pytest.mark.slow
def test_records_commands_run_as_the_docs_say(records, work, monkeypatch, capsys):
    for command in commands(DOCS["operations.md"], "records"):
        assert main(command) == 0, capsys.readouterr().err
    assert "Normal" in (work / "labels.csv").read_text("utf-8")
    [check] = [command for command in shell_commands(DOCS["operations.md"]) if "backups/backup.db" in command.text]
    url = shlex.split(check.text)[0].partition("=")[2].replace("//backups", f"/{work}")
    monkeypatch.setenv("CXR_DATABASE_URL", url)
    assert main(list(check.words[1:])) == 0


@pytest.mark.slow
def test_check_runs_as_the_docs_say(records, capsys):
    [check] = commands(DOCS["operations.md"], "check")
    assert main(check) == 0, capsys.readouterr().err
    assert VERSION in capsys.readouterr().out


@pytest.mark.slow
def test_the_registry_can_be_read_as_the_docs_say(capsys):
    for command in commands(DOCS["models.md"], "registry list", "registry log"):
        assert main(command) == 0, capsys.readouterr().err


def test_examples_of_answers_are_json():
    for document in DOCUMENTS:
        for block in blocks(document, "json"):
            json.loads(block)
