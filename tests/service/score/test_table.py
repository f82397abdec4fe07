import os

import pytest

from service.errors import SettingsError
from service.film.errors import UnreadableImage
from service.model import load_model
from service.score.rows import refusal_row, row_of
from service.score.table import Table
from tests.support.encoded_films import encode, film

SETTINGS = {"folder": "films", "model": "abc"}


@pytest.fixture
def rows(bundle_path):
    return [
        row_of("a.png", load_model(bundle_path).predict(encode(film(), "PNG"))),
        refusal_row(os.fsdecode(b"caf\xe9.png"), b"", UnreadableImage("The file is damaged."), {"model_version": "1.0.0"}),
    ]


def written(out, rows):
    with Table(out, SETTINGS, overwrite=False) as table:
        for row in rows:
            table.add(row)
        table.finish()
    return out


def test_names_that_are_no_text_are_spelled_out(tmp_path, rows):
    lines = written(tmp_path / "films.csv", rows).read_text().splitlines()
    assert [line.split(",")[0] for line in lines] == ["path", "a.png", r"caf\udce9.png"]


def test_a_table_that_exists_is_not_overwritten_unasked(tmp_path, rows):
    out = written(tmp_path / "films.csv", rows)
    with pytest.raises(SettingsError, match="--overwrite"):
        Table(out, SETTINGS, overwrite=False)
    with Table(out, SETTINGS, overwrite=True) as table:
        table.finish()
    assert len(out.read_text().splitlines()) == 1


def test_unfinished_rows_of_other_settings_are_not_continued(tmp_path, rows):
    with Table(tmp_path / "films.csv", SETTINGS, overwrite=False) as table:
        table.add(rows[0])
    with pytest.raises(SettingsError, match="another folder, model;"):
        Table(tmp_path / "films.csv", {"folder": "others", "model": "xyz"}, overwrite=False)
    with Table(tmp_path / "films.csv", SETTINGS, overwrite=False) as table:
        assert [row["path"] for row in table.rows()] == ["a.png"]
