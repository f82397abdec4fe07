"""Films of an archive whose label is on record."""

import errno
import hashlib
import os
from pathlib import Path

import pytest

from service.model.findings import Finding
from training.commissioning.films import feedback as module
from training.commissioning.films.feedback import feedback_films


@pytest.fixture
def on_record(monkeypatch):
    """Have these bytes a confirmed label."""

    def record(*films):
        labels = {hashlib.sha256(data).hexdigest(): Finding.NORMAL.value for data in films}
        monkeypatch.setattr(module, "write_labels", lambda path: path)
        monkeypatch.setattr(module, "read_labels", lambda path: labels)

    return record


def test_a_name_that_is_no_utf_8_is_printable(tmp_path, on_record):
    (tmp_path / os.fsdecode(b"film\xff.png")).write_bytes(b"a")
    on_record(b"a")
    [film] = feedback_films(tmp_path)
    assert (film.relative, film.finding) == ("film\\xff.png", Finding.NORMAL)
    assert film.path.is_file()


def test_a_file_that_cannot_be_read_is_listed_without_a_label(tmp_path, on_record, monkeypatch):
    for name in ("a.png", "closed.png"):
        (tmp_path / name).write_bytes(name.encode())
    on_record(b"a.png", b"closed.png")
    open_file = Path.open

    def refusing(path, *mode, **options):
        if path.name == "closed.png":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return open_file(path, *mode, **options)

    monkeypatch.setattr(Path, "open", refusing)  # root, as whom the tests may run, reads any file
    assert {film.relative: film.finding for film in feedback_films(tmp_path)} == {"a.png": Finding.NORMAL, "closed.png": None}
