"""Films of an archive whose label is on record."""

import hashlib
import os

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
