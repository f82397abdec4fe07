"""The report of a validation: verdict, table, JSON."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from service.model.findings import FINDINGS, Finding
from tests.support.training.data_folders import films_of, save_as_jpeg, validate
from training.data.validation_report import ValidationLimits
from training.errors import ConfigError, EmptyClass, SplitLeakage


@pytest.fixture
def folder(phantom_dataset: Callable[..., Path]) -> Path:
    """A sound data folder with a manifest: three films per class in train, two in val and in test."""
    return phantom_dataset(films_per_class={"train": 3, "val": 2, "test": 2}, size_px=160, manifest=True)


def test_the_leakage_message_names_ten_pairs_and_counts_the_rest(folder: Path) -> None:
    for finding in FINDINGS:
        for path in films_of(folder, "train", finding):
            shutil.copy(path, folder / "test" / finding / f"again_{path.name}")
            shutil.copy(path, folder / "val" / finding / f"again_{path.name}")

    with pytest.raises(SplitLeakage, match=r"^27 pair\(s\).*and 17 more") as caught:
        validate(folder).require_trainable()
    assert str(caught.value).count("(same file)") == 10


@pytest.mark.parametrize(("split", "finding"), [("train", Finding.PNEUMONIA), ("val", Finding.TUBERCULOSIS)])
def test_a_class_without_a_usable_film_is_named(folder: Path, split: str, finding: Finding) -> None:
    for path in films_of(folder, split, finding):
        path.write_bytes(b"damaged beyond repair")

    with pytest.raises(EmptyClass, match=f"{split}/{finding}"):
        validate(folder).require_trainable()


def test_a_class_may_be_missing_from_test(folder: Path) -> None:
    for path in films_of(folder, "test", Finding.NORMAL):
        path.write_bytes(b"damaged beyond repair")

    validate(folder).require_trainable()


def test_the_report_is_written_as_json_and_as_a_table(folder: Path, tmp_path: Path) -> None:
    (folder / "train/Normal/faulty.png").write_bytes(b"no picture")
    save_as_jpeg(films_of(folder, "train", Finding.NORMAL)[1], folder / "val/Normal/again.jpg")
    report = validate(folder)

    report.write(tmp_path / "new" / "out")

    summary = json.loads((tmp_path / "new/out/validation_report.json").read_text())
    assert (summary["films"], summary["usable"]) == (23, 22)
    assert summary["data_fingerprint"] == report.data_fingerprint
    assert summary["usable_per_class"]["val"] == {"Normal": 3, "Pneumonia": 2, "Tuberculosis": 2}
    assert summary["excluded"][0]["file"] == "train/Normal/faulty.png"
    assert summary["pairs"][0]["crosses_splits"] is True
    assert summary["limits"]["near_duplicate_bits"] == 3
    document = (tmp_path / "new/out/validation_report.md").read_text()
    assert report.table() in document
    assert "22 of 23 films (95.65 %) are usable." in document
    assert "train/Normal/faulty.png: unreadable" in document
    assert str(folder) not in json.dumps(summary) + document


def test_the_lists_of_a_broken_folder_are_capped_and_leaks_come_first(folder: Path, tmp_path: Path) -> None:
    original = films_of(folder, "train", Finding.NORMAL)[0]
    for index in range(120):
        (folder / f"train/Normal/faulty{index}.png").write_bytes(f"fault {index}".encode())
        shutil.copy(original, folder / f"train/Normal/z{index}.png")
    save_as_jpeg(original, folder / "val/Normal/again.jpg")

    validate(folder).write(tmp_path)

    summary = json.loads((tmp_path / "validation_report.json").read_text())
    assert len(summary["excluded"]) == len(summary["pairs"]) == summary["listed_at_most"] == 100
    assert summary["pairs"][0]["second"] == "val/Normal/again.jpg"
    assert summary["checks"][0]["found"] == 120
    assert "- and 140 more" in (tmp_path / "validation_report.md").read_text()


def test_a_negative_flatness_is_refused() -> None:
    with pytest.raises(ConfigError, match="flat_grey_levels"):
        ValidationLimits(flat_grey_levels=-1.0)
