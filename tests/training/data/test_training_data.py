"""The films that runs, trials, ablations and averages read."""

import pytest

from training.config import DataConfig
from training.data.training_data import read_training_data
from training.errors import DatasetError, SplitLeakage

FILMS = {"train": 4, "val": 2}


def test_nothing_is_read_of_the_source_that_is_held_out(phantom_dataset):
    folder = phantom_dataset(films_per_class=FILMS, manifest=True)
    whole, kept = (
        read_training_data(folder, DataConfig(near_duplicate_bits=3, held_out_source=name)) for name in ("", "source0")
    )
    assert {film.source for film in (*whole.train, *whole.val)} == {"source0", "source1"}
    assert {film.source for film in (*kept.train, *kept.val)} == {"source1"}
    assert kept.data_fingerprint == whole.data_fingerprint
    with pytest.raises(DatasetError, match="known: source0, source1"):
        read_training_data(folder, DataConfig(near_duplicate_bits=3, held_out_source="nowhere"))


def test_a_leak_between_splits_is_reported_and_raised(phantom_dataset, tmp_path, capsys):
    folder = phantom_dataset(films_per_class=FILMS)
    film = next((folder / "train" / "Normal").iterdir())
    (folder / "val" / "Normal" / "copy.png").write_bytes(film.read_bytes())
    with pytest.raises(SplitLeakage, match=rf"{film.name}.*copy\.png|copy\.png.*{film.name}"):
        read_training_data(folder, DataConfig(near_duplicate_bits=3), report_to=tmp_path)
    assert "Same file in two splits" in capsys.readouterr().out
    assert (tmp_path / "validation_report.md").exists()
