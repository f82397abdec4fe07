import json
import subprocess
import sys

import pytest

from service.files import atomic_write, lock, write_json
from tests.support.server.serving import ROOT


def test_a_file_is_replaced_when_it_is_whole_and_only_then(tmp_path):
    path = tmp_path / "table.csv"
    for content in ("old", "new"):
        with atomic_write(path) as draft:
            draft.write_text(content)
            assert draft.parent == path.parent
            assert not path.exists() or path.read_text() == "old"
        assert path.read_text() == content
    with pytest.raises(ZeroDivisionError), atomic_write(path) as draft:
        draft.write_text("half")
        1 / 0  # noqa: B018
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_nothing_is_written_where_the_folder_is_missing(tmp_path):
    with pytest.raises(FileNotFoundError, match="absent"), atomic_write(tmp_path / "absent" / "table.csv") as draft:
        draft.write_text("new")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_json_lacks_are_written_only_if_that_is_asked_for(tmp_path, value):
    path = tmp_path / "history.json"
    with pytest.raises(ValueError, match="JSON"):
        write_json(path, {"auc": value})
    assert list(tmp_path.iterdir()) == []
    write_json(path, {"auc": value}, allow_nan=True)
    assert str(json.loads(path.read_text())["auc"]) == str(value)


def test_a_lock_keeps_other_processes_out_until_its_own_ends(tmp_path):
    code = "import sys; from pathlib import Path; from service.files import lock; lock(Path(sys.argv[1])); print(1); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code, tmp_path], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        other.stdout.readline()
        assert lock(tmp_path, wait=False) is None
        other.kill()
        assert lock(tmp_path) is not None
