import csv
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from service.model.findings import FINDINGS, Finding
from training.data.folder import MANIFEST_COLUMNS, SPLITS, scan_folder
from training.errors import DatasetError, DatasetNotFound


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A folder with one film per split and finding; scanning opens no picture, so these hold none."""
    for split in SPLITS:
        for finding in FINDINGS:
            film = tmp_path / split / finding / "film.png"
            film.parent.mkdir(parents=True)
            film.write_bytes(b"")
    return tmp_path


def write_manifest(root: Path, *changes: dict[str, str], leave_out: str = "", append: str = "") -> None:
    """A manifest that agrees with the folder; `changes` overwrites the cells of its first rows, one dict each."""
    rows = [
        dict(zip(MANIFEST_COLUMNS, (f"{split}/{finding}/film.png", split, finding, "clinic", f"{split}-1"), strict=True))
        for split in SPLITS
        for finding in FINDINGS
    ]
    for row, change in zip(rows, changes, strict=False):
        row.update(change)
    with (root / "manifest.csv").open("w", newline="", encoding="utf-8") as lines:
        columns = [column for column in (*MANIFEST_COLUMNS, "licence") if column != leave_out]
        writer = csv.DictWriter(lines, columns, restval="CC0", extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
        lines.write(append)


def test_films_are_listed_by_their_place_in_the_tree(tree: Path) -> None:
    films = scan_folder(tree)
    assert [film.relative for film in films] == sorted(f"{s}/{f}/film.png" for s in SPLITS for f in FINDINGS)
    first = films[0]
    assert (first.path, first.split, first.finding) == (tree / "test/Normal/film.png", "test", Finding.NORMAL)
    assert (first.source, first.group, first.in_manifest) == ("unknown", None, True)


def test_films_lie_at_any_depth_and_hidden_files_and_other_folders_hold_none(tree: Path) -> None:
    nested = tree / "train/Normal/patient1/study2/film.png"
    nested.parent.mkdir(parents=True)
    nested.write_bytes(b"")
    (tree / "masks").mkdir()
    for hidden in (".DS_Store", "train/.DS_Store", "train/Normal/.DS_Store"):
        (tree / hidden).write_bytes(b"")
    films = scan_folder(tree)
    assert len(films) == 10
    [film] = [film for film in films if film.path == nested]
    assert (film.relative, film.finding) == ("train/Normal/patient1/study2/film.png", Finding.NORMAL)


def test_the_folder_and_its_train_and_val_are_required_and_test_is_not(tree: Path) -> None:
    with pytest.raises(DatasetNotFound, match="nowhere"):
        scan_folder(tree / "nowhere")
    shutil.rmtree(tree / "test")
    assert {film.split for film in scan_folder(tree)} == {"train", "val"}
    for split in ("val", "train"):
        shutil.rmtree(tree / split)
        with pytest.raises(DatasetNotFound, match=f"no {split}/"):
            scan_folder(tree)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda tree: (tree / "val/normal2").mkdir(), r"val/normal2/.*Normal, Pneumonia, Tuberculosis"),
        (lambda tree: (tree / "test").rename(tree / "testing"), r"testing/.*train, val, test"),
        (lambda tree: (tree / "train/film.png").write_bytes(b""), r"train/film\.png"),
    ],
    ids=["unknown class", "misnamed split", "film outside the class folders"],
)
def test_what_does_not_belong_in_the_tree_is_named(tree: Path, change: Callable[[Path], object], named: str) -> None:
    change(tree)
    with pytest.raises(DatasetError, match=named):
        scan_folder(tree)


def test_the_manifest_adds_source_and_group_and_a_file_that_it_does_not_name_is_marked(tree: Path) -> None:
    write_manifest(tree, {"source": "shenzhen", "patient_or_group_id": "p7"}, {"source": "", "patient_or_group_id": " "})
    (tree / "train/Normal/new.png").write_bytes(b"")
    films = {film.relative: film for film in scan_folder(tree)}
    assert (films["train/Normal/film.png"].source, films["train/Normal/film.png"].group) == ("shenzhen", "p7")
    assert (films["train/Pneumonia/film.png"].source, films["train/Pneumonia/film.png"].group) == ("unknown", None)
    assert [relative for relative, film in films.items() if not film.in_manifest] == ["train/Normal/new.png"]
    saved_by_a_spreadsheet = b"\xef\xbb\xbf" + (tree / "manifest.csv").read_bytes()
    (tree / "manifest.csv").write_bytes(saved_by_a_spreadsheet)
    assert scan_folder(tree) == tuple(films.values())


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"path": "train/Normal/gone.png"}, r"1 file\(s\).*train/Normal/gone\.png"),
        ({"split": "val"}, r"contradicts.*train/Normal/film\.png \(line 2"),
        ({"label": "normal"}, r"contradicts.*train/Normal/film\.png \(line 2"),
        ({"path": "train/Pneumonia/film.png"}, r"train/Pneumonia/film\.png on lines 2 and 3"),
    ],
)
def test_a_manifest_row_that_contradicts_the_folder_or_another_is_named(tree: Path, change: dict[str, str], named: str) -> None:
    write_manifest(tree, change)
    with pytest.raises(DatasetError, match=named):
        scan_folder(tree)


@pytest.mark.parametrize("column", MANIFEST_COLUMNS)
def test_a_manifest_without_a_column_is_refused(tree: Path, column: str) -> None:
    # A misspelt patient_or_group_id would otherwise switch the leakage check off in silence.
    write_manifest(tree, leave_out=column)
    with pytest.raises(DatasetError, match=column):
        scan_folder(tree)


@pytest.mark.parametrize("line", ["a,b\n", "a,b,c,d,e,f,g\n"])
def test_a_ragged_manifest_line_is_named(tree: Path, line: str) -> None:
    write_manifest(tree, append=line)
    with pytest.raises(DatasetError, match="line 11"):
        scan_folder(tree)


@pytest.mark.parametrize("damage", [b"\xff\xfe\x00", b'path,"split'])
def test_a_damaged_manifest_is_refused(tree: Path, damage: bytes) -> None:
    (tree / "manifest.csv").write_bytes(damage)
    with pytest.raises(DatasetError, match=r"manifest\.csv"):
        scan_folder(tree)
