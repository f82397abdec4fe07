"""What the validation pass finds in a data folder."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from export.phantom import phantom_film
from service.model.findings import Finding
from tests.support.training.data_folders import NEAR_DUPLICATE_BITS, encode, films_of, save_as_jpeg, validate
from training.data.folder import scan_folder
from training.data.validation import validate_dataset
from training.data.validation_report import Link, Reason, ValidationReport
from training.errors import SplitLeakage


def found(report: ValidationReport, name: str) -> int:
    return next(count for check, _, count in report.checks() if check.startswith(name))


def test_a_sound_folder_is_trainable_as_a_whole(folder: Path) -> None:
    report = validate(folder)
    report.require_trainable()
    assert report.films == 21
    assert report.usable == scan_folder(folder)
    assert not (report.excluded or report.pairs or report.flat)
    assert all((action, count) == ("None required", 0) for _, action, count in report.checks())


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"no picture at all", Reason.UNREADABLE),
        (b"", Reason.UNREADABLE),
        (encode(phantom_film(Finding.NORMAL, 1, 200), ".jpg")[:-2000], Reason.UNREADABLE),
        (encode(phantom_film(Finding.NORMAL, 1, 200)[:99]), Reason.TOO_SMALL),
        (encode(phantom_film(Finding.NORMAL, 1, 400)[:133]), Reason.ASPECT_RATIO),
        (encode(np.zeros((8001, 8001), np.uint8)), Reason.TOO_LARGE),
    ],
    ids=["text", "empty", "truncated", "small", "elongated", "large"],
)
def test_a_film_that_cannot_be_judged_is_excluded_with_its_reason(folder: Path, data: bytes, reason: Reason) -> None:
    (folder / "train/Normal/faulty.png").write_bytes(data)
    report = validate(folder)
    report.require_trainable()
    assert [(entry.film.relative, entry.reason) for entry in report.excluded] == [("train/Normal/faulty.png", reason)]
    assert report.excluded[0].detail
    assert len(report.usable) == 21
    assert sum(count for _, action, count in report.checks() if action == "Excluded") == 1


def test_a_file_that_cannot_be_opened_is_excluded(folder: Path) -> None:
    films = scan_folder(folder)
    films[0].path.unlink()
    report = validate_dataset(films, threads=2, near_duplicate_bits=NEAR_DUPLICATE_BITS)
    assert [entry.film for entry in report.excluded] == [films[0]]
    assert str(folder) not in report.excluded[0].detail


def test_of_exact_copies_in_one_split_the_first_is_kept_and_compared(folder: Path) -> None:
    original = films_of(folder, "train", Finding.NORMAL)[0]
    shutil.copy(original, original.with_name("z1.png"))
    shutil.copy(original, original.with_name("z2.png"))
    save_as_jpeg(original, original.with_name("again.jpg"))
    report = validate(folder)
    report.require_trainable()
    assert [(entry.film.path.name, entry.reason) for entry in report.excluded] == [
        ("z1.png", Reason.DUPLICATE),
        ("z2.png", Reason.DUPLICATE),
    ]
    assert original.name in report.excluded[0].detail
    assert original in [film.path for film in report.usable]
    assert [pair.link for pair in report.pairs] == [Link.EXACT, Link.EXACT, Link.NEAR]
    near = report.pairs[2]
    assert {near.first.path.name, near.second.path.name} == {original.name, "again.jpg"}


def test_a_film_filed_under_two_findings_is_trained_under_none(folder: Path) -> None:
    original = films_of(folder, "train", Finding.NORMAL)[0]
    shutil.copy(original, folder / "train/Tuberculosis/again.png")
    report = validate(folder)
    assert {entry.reason for entry in report.excluded} == {Reason.CONTRADICTION}
    assert {entry.film.path for entry in report.excluded} == {original, folder / "train/Tuberculosis/again.png"}
    assert found(report, "Same file under two findings") == 2


def test_near_duplicates_in_one_split_are_reported_and_kept(folder: Path) -> None:
    original = films_of(folder, "train", Finding.NORMAL)[0]
    save_as_jpeg(original, folder / "train/Pneumonia/again.jpg")
    report = validate(folder)
    report.require_trainable()
    assert len(report.usable) == 22
    [pair] = report.pairs
    assert (pair.link, {pair.first.path.name, pair.second.path.name}) == (Link.NEAR, {original.name, "again.jpg"})
    assert found(report, "Near duplicates in one split") == 1
    assert found(report, "... of these under two findings") == 1


@pytest.mark.parametrize(
    ("copy", "again", "check", "link"),
    [
        (shutil.copy, "test/Normal/again.png", "Same file in two splits", "same file)"),
        (save_as_jpeg, "test/Normal/again.jpg", "Near duplicates in two splits", "near duplicate, "),
    ],
)
def test_a_film_in_two_splits_is_leakage(folder: Path, copy, again, check, link) -> None:
    original = films_of(folder, "train", Finding.NORMAL)[0]
    copy(original, folder / again)
    report = validate(folder)
    assert found(report, check) == 1
    with pytest.raises(SplitLeakage) as caught:
        report.require_trainable()
    assert f"{again} and train/Normal/{original.name} ({link}" in str(caught.value)


def test_a_group_in_two_splits_is_leakage_and_its_id_stays_out_of_the_message(folder: Path) -> None:
    first, second = films_of(folder, "val", Finding.NORMAL)[0], films_of(folder, "test", Finding.TUBERCULOSIS)[0]
    give_group(folder, "patient Doe", [first, second])
    report = validate(folder)
    assert [(pair.link, pair.first.path, pair.second.path) for pair in report.leaks] == [(Link.GROUP, second, first)]
    with pytest.raises(SplitLeakage) as caught:
        report.require_trainable()
    assert first.name in str(caught.value)
    assert second.name in str(caught.value)
    assert "Doe" not in str(caught.value)


def test_a_group_within_one_split_is_no_leakage_and_an_excluded_film_leaks_nothing(folder: Path) -> None:
    give_group(folder, "one patient", films_of(folder, "train", Finding.NORMAL))
    for split in ("train", "test"):
        (folder / split / "Normal/faulty.png").write_bytes(b"the same damage")
    validate(folder).require_trainable()


def give_group(folder: Path, group: str, films: list[Path]) -> None:
    manifest = folder / "manifest.csv"
    text = manifest.read_text()
    for film in films:
        text = text.replace(f"group{film.stem.split('_')[1]}", group)
    manifest.write_text(text)


def test_blank_films_are_not_taken_for_copies_of_each_other(folder: Path) -> None:
    rng = np.random.default_rng(0)
    for split in ("train", "val"):
        blank = np.full((160, 160), 40, np.uint8)
        blank[rng.integers(160), rng.integers(160)] = 41
        (folder / split / "Normal/blank.png").write_bytes(encode(blank))
    report = validate(folder)
    report.require_trainable()
    assert [film.relative for film in report.flat] == ["train/Normal/blank.png", "val/Normal/blank.png"]
    assert set(report.flat) <= set(report.usable)


def test_the_near_duplicate_threshold_is_a_setting(folder: Path) -> None:
    assert not validate(folder, near_duplicate_bits=0).pairs
    assert validate(folder, near_duplicate_bits=60).pairs


def test_a_file_that_the_manifest_does_not_name_is_reported(folder: Path) -> None:
    (folder / "train/Normal/new.png").write_bytes(encode(phantom_film(Finding.NORMAL, 99, 160)))
    report = validate(folder)
    report.require_trainable()
    assert [film.relative for film in report.not_in_manifest] == ["train/Normal/new.png"]


def test_the_fingerprint_names_the_content_and_nothing_else(folder: Path, tmp_path: Path) -> None:
    fingerprint = validate(folder).data_fingerprint
    moved = tmp_path / "elsewhere"
    shutil.copytree(folder, moved)
    assert len(fingerprint) == 64
    assert validate(moved, near_duplicate_bits=0, threads=1).data_fingerprint == fingerprint


@pytest.mark.parametrize("change", ["rename", "relabel", "rewrite", "add"])
def test_the_fingerprint_changes_with_any_file(folder: Path, change: str) -> None:
    (folder / "manifest.csv").unlink()
    fingerprint = validate(folder).data_fingerprint
    path = films_of(folder, "train", Finding.NORMAL)[0]
    if change == "rename":
        path.rename(path.with_name(f"{path.stem}_.png"))  # keeps its place in the order
    elif change == "relabel":
        path.rename(folder / "train/Pneumonia" / path.name)
    elif change == "rewrite":
        path.write_bytes(path.read_bytes() + b"\0")
    else:
        (path.parent / "more.png").write_bytes(b"unreadable")
    assert validate(folder).data_fingerprint != fingerprint
