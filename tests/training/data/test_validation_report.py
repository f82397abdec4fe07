"""The report of a validation: verdict and document."""

import shutil
from pathlib import Path

import pytest

from service.model.findings import FINDINGS, Finding
from tests.support.training.data_folders import films_of, save_as_jpeg, validate
from training.data.validation_report import REPORT_NAME
from training.errors import EmptyClass, SplitLeakage


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


def test_the_document_names_what_was_found_and_not_where_the_data_lie(folder: Path, tmp_path: Path) -> None:
    (folder / "train/Normal/faulty.png").write_bytes(b"no picture")
    save_as_jpeg(films_of(folder, "train", Finding.NORMAL)[1], folder / "val/Normal/again.jpg")
    report = validate(folder)
    report.write(tmp_path / "new" / "out")
    document = (tmp_path / "new/out" / REPORT_NAME).read_text()
    assert report.table() in document and f"Data fingerprint: `{report.data_fingerprint}`" in document
    assert "(<= 3 of 256 bits)" in document
    assert "22 of 23 films (95.65 %) are usable." in document
    assert "train/Normal/faulty.png: unreadable" in document
    assert "## In two splits (1)\n\n- train/Normal/" in document
    assert str(folder) not in document


def test_the_lists_of_a_broken_folder_are_capped_and_leaks_come_first(folder: Path, tmp_path: Path) -> None:
    original = films_of(folder, "train", Finding.NORMAL)[0]
    for index in range(120):
        (folder / f"train/Normal/faulty{index}.png").write_bytes(f"fault {index}".encode())
        shutil.copy(original, folder / f"train/Normal/z{index}.png")
    save_as_jpeg(original, folder / "val/Normal/again.jpg")
    validate(folder).write(tmp_path)
    document = (tmp_path / REPORT_NAME).read_text()
    titles = [line for line in document.splitlines() if line.startswith("## ")]
    assert titles[:3] == ["## In two splits (1)", "## Excluded (240)", "## Duplicates in one split (120)"]
    assert document.count(": unreadable") + document.count(": copy of") == 100
    assert "- and 140 more" in document and "- and 20 more" in document
