import csv
import hashlib
import shutil

import cv2
import pytest

from export.phantom import phantom_film
from service.model.findings import FINDINGS, Finding
from tests.support.encoded_films import encode
from training.data.folder import MANIFEST_NAME, SPLITS, scan_folder
from training.errors import DatasetError
from training.retraining.films import SOURCE, NewFilms, assemble

NEAR_DUPLICATE_BITS = 3


@pytest.fixture
def base(phantom_dataset):
    return phantom_dataset(manifest=True)


def archived(folder, finding, seed):
    """Put a film into the archive; returns its SHA-256."""
    data = encode(phantom_film(finding, seed, 160), "PNG")
    folder.mkdir(exist_ok=True)
    (folder / f"{seed}.png").write_bytes(data)
    return hashlib.sha256(data).hexdigest()


def test_films_of_the_archive_join_the_training_split_and_no_other(base, tmp_path):
    labels = {archived(tmp_path / "archive", finding, 90_000 + index): finding for index, finding in enumerate(FINDINGS)}
    labels["ff" * 32] = "Normal"
    out = tmp_path / "data"
    assert assemble(base, tmp_path / "archive", labels, out, NEAR_DUPLICATE_BITS) == NewFilms(3, 1, 0, 0)
    before, now = scan_folder(base, required=SPLITS), scan_folder(out, required=SPLITS)
    new = {film.relative for film in now} - {film.relative for film in before}
    assert {film.split for film in now if film.relative in new} == {"train"}
    assert {film.source for film in now if film.relative in new} == {SOURCE}
    assert sorted(film.finding for film in now if film.relative in new) == sorted(FINDINGS)
    assert {film.relative for film in before} <= {film.relative for film in now}


def test_a_test_film_is_never_trained_on(base, tmp_path):
    [film] = list((base / "test" / "Normal").iterdir())[:1]
    archive = tmp_path / "archive"
    archive.mkdir()
    shutil.copy(film, archive)
    # The same picture in another file: one grey level off in a corner.
    pixels = cv2.imread(str(film), cv2.IMREAD_GRAYSCALE)
    pixels[0, 0] ^= 1
    twin = encode(pixels, "PNG")
    (archive / "twin.png").write_bytes(twin)
    labels = {hashlib.sha256(data).hexdigest(): "Pneumonia" for data in (film.read_bytes(), twin)}
    out = tmp_path / "data"
    assert assemble(base, archive, labels, out, NEAR_DUPLICATE_BITS) == NewFilms(
        added=0, not_in_archive=0, known=1, too_close=1
    )
    assert {film.relative for film in scan_folder(out)} == {film.relative for film in scan_folder(base)}
    with (out / MANIFEST_NAME).open(newline="") as stream:
        assert len(list(csv.DictReader(stream))) == len(scan_folder(base))


def test_the_data_set_itself_is_left_as_it_is(base, tmp_path):
    before = {path: path.read_bytes() for path in base.rglob("*") if path.is_file()}
    labels = {archived(tmp_path / "archive", Finding.NORMAL, 91_000): "Normal"}
    for _ in range(2):  # a second start makes the folder anew
        assert assemble(base, tmp_path / "archive", labels, tmp_path / "data", NEAR_DUPLICATE_BITS).added == 1
    assert {path: path.read_bytes() for path in base.rglob("*") if path.is_file()} == before


def test_an_archive_that_is_not_there_is_named(base, tmp_path):
    with pytest.raises(DatasetError, match="archive"):
        assemble(base, tmp_path / "nowhere", {}, tmp_path / "data", NEAR_DUPLICATE_BITS)
