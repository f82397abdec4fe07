from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from export.films import read_films, usable_films
from service.film.preprocessing import PreprocessSpec
from tests.export.test_export import films_of
from tests.support.training.data_folders import NEAR_DUPLICATE_BITS, validate
from training.config import DataConfig
from training.data.folder import scan_folder
from training.data.training_data import TrainingData
from training.errors import DatasetError, DatasetNotFound, EmptyClass, SplitLeakage

CONFIG = DataConfig(near_duplicate_bits=NEAR_DUPLICATE_BITS)


def used_films(data: Path, config: DataConfig = CONFIG) -> TrainingData:
    return usable_films(data, config, validate(data).data_fingerprint)


def test_films_are_read_as_the_service_reads_them(phantom_dataset):
    films = read_films(films_of(phantom_dataset(films_per_class={"train": 1, "val": 2}), "val"), PreprocessSpec())
    assert films.images.shape == (6, 224, 224) and films.images.dtype == np.uint8
    assert films.labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert films.sizes_px.tolist()[:2] == [[128, 128], [136, 128]]
    assert films.mean_chroma.tolist() == [0] * 6


def test_a_subsample_is_the_same_every_time_and_may_miss_a_finding(export_data):
    files = films_of(export_data, "train")
    first, again = (read_films(files, PreprocessSpec(), limit=2) for _ in range(2))
    assert len(first.labels) == 2
    np.testing.assert_array_equal(first.images, again.images)


def test_films_that_training_excluded_are_not_used(phantom_dataset):
    data = phantom_dataset(films_per_class={"train": 2, "val": 3})
    before = used_films(data)
    normal = data / "val" / "Normal"
    first, second, _ = sorted(normal.iterdir())
    (normal / "zz_damaged.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    (normal / "zz_copy.png").write_bytes(first.read_bytes())
    (data / "val" / "Pneumonia" / "contradiction.png").write_bytes(second.read_bytes())
    after = used_films(data)
    assert after.train == before.train
    assert after.val == [film for film in before.val if film.path != second]


def test_films_of_a_source_that_training_held_out_are_not_used(phantom_dataset):
    data = phantom_dataset(films_per_class={"train": 4, "val": 4}, manifest=True)
    source = min(film.source for film in scan_folder(data))
    films, everything = used_films(data, replace(CONFIG, held_out_source=source)), used_films(data)
    assert films.train == [film for film in everything.train if film.source != source] != everything.train
    assert films.val == [film for film in everything.val if film.source != source] != everything.val


def test_films_whose_sources_have_changed_since_training_are_refused(phantom_dataset):
    data = phantom_dataset(films_per_class={"train": 2, "val": 2}, manifest=True)
    before = validate(data)
    assert usable_films(data, CONFIG, before.data_fingerprint, before.sources_fingerprint)
    manifest = data / "manifest.csv"
    manifest.write_text(manifest.read_text().replace("source0", "elsewhere"))
    with pytest.raises(DatasetError, match="are not those that the checkpoint was trained with; restore"):
        usable_films(data, CONFIG, before.data_fingerprint, before.sources_fingerprint)


def test_data_that_must_not_be_trained_on_are_not_exported_with(phantom_dataset, tmp_path):
    data = phantom_dataset(films_per_class={"train": 1, "val": 1})
    with pytest.raises(SplitLeakage):
        used_films(data, DataConfig(near_duplicate_bits=200))
    for film in (data / "val" / "Tuberculosis").iterdir():
        film.unlink()
    with pytest.raises(EmptyClass, match="Tuberculosis"):
        used_films(data)
    with pytest.raises(DatasetNotFound):
        usable_films(tmp_path / "absent", CONFIG, "0" * 64)
