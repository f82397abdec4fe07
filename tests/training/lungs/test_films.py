"""Films with lung masks read from a folder, and the held-out fifth."""

import shutil

import numpy as np
import pytest

from tests.support.training.phantom_lungs import phantom_mask, write_lung_films
from training.errors import DatasetError
from training.lungs.films import hold_out, read_lung_films


@pytest.fixture(scope="module")
def lungs(tmp_path_factory):
    return write_lung_films(tmp_path_factory.mktemp("lungs"))


def test_films_and_masks_are_stretched_alike_and_masks_are_binary(lungs):
    films = read_lung_films(lungs, 96)
    assert [film.name for film in films] == sorted(film.name for film in films)
    assert {(film.film.shape, film.mask.shape, film.mask.dtype.name) for film in films} == {((96, 96), (96, 96), "uint8")}
    assert np.mean(films[0].mask != phantom_mask(96)) < 0.02


@pytest.mark.parametrize("missing", ["manifest.csv", "film03.png", "mask03.png"])
def test_what_is_missing_or_no_picture_is_named(lungs, tmp_path, missing):
    data = shutil.copytree(lungs, tmp_path / "data")
    (data / missing).unlink()
    with pytest.raises(DatasetError, match=missing):
        read_lung_films(data, 96)
    (data / missing).write_bytes((lungs / missing).read_bytes())
    for name in ("mask07.png", "film06.png"):
        (data / name).write_bytes(b"text")
        with pytest.raises(DatasetError, match=name):
            read_lung_films(data, 96)


def test_a_line_of_the_manifest_without_a_mask_is_refused(lungs, tmp_path):
    data = shutil.copytree(lungs, tmp_path / "data")
    with (data / "manifest.csv").open("a") as lines:
        lines.write("film20.png\n")
    with pytest.raises(DatasetError, match="an image and a mask in each line"):
        read_lung_films(data, 96)


def test_a_fifth_is_held_out_the_same_one_for_the_same_seed(lungs):
    films = read_lung_films(lungs, 32)
    training, held_out = hold_out(films, seed=3)
    assert (len(training), len(held_out)) == (16, 4)
    assert {film.name for film in training}.isdisjoint(film.name for film in held_out)
    assert [film.name for film in hold_out(films, seed=3)[1]] == [film.name for film in held_out]
    assert [film.name for film in hold_out(films, seed=4)[1]] != [film.name for film in held_out]


def test_a_manifest_with_a_byte_order_mark_is_read_and_one_without_columns_is_named(lungs, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(lungs, data)
    rows = (data / "manifest.csv").read_text()
    (data / "manifest.csv").write_text(rows, encoding="utf-8-sig")
    assert len(read_lung_films(data, 64)) == len(rows.split()) - 1
    (data / "manifest.csv").write_text(rows.replace("image", "film", 1))
    with pytest.raises(DatasetError, match="lacks the column image or mask"):
        read_lung_films(data, 64)
