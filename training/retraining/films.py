"""Assembles the challenger's data set: the base data set, and films of the archive with a confirmed label.

New films join the training split only. Hard links where the file system has them; the originals stay as they are.
"""

import csv
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from service.model.bundle import sha256_of
from training.data.folder import MANIFEST_COLUMNS, MANIFEST_NAME, SPLITS, UNKNOWN_SOURCE, scan_folder
from training.data.validation import validate_dataset
from training.errors import DatasetError
from training.retraining.triggers import ConfirmedLabel

SOURCE = "feedback"
_PREFIX = "feedback_"


@dataclass(frozen=True)
class NewFilms:
    """What happened to the films with confirmed labels; all fields are numbers of films."""

    added: int  # to the training split
    not_in_archive: int  # with bytes that no file of the archive has
    known: int  # in the data set before
    too_close: int  # left out, because they resemble a film of the validation or test split

    def __str__(self) -> str:
        return (
            f"{self.added} films added, {self.not_in_archive} not in the archive, {self.known} in the data set already, "
            f"{self.too_close} too close to validation or test films"
        )


def assemble(
    base: Path, archive: Path | None, labels: Sequence[ConfirmedLabel], out: Path, near_duplicate_bits: int
) -> NewFilms:
    """Replace `out` by the data folder to train on.

    archive: folder of films as they were sent; None adds none. near_duplicate_bits: of the training's configuration; decides
    what is too close. Raises DatasetError or DatasetNotFound for a bad `base`.
    """
    scan_folder(base, required=SPLITS)
    if archive is not None and not archive.is_dir():
        raise DatasetError(f"There is no archive folder {archive}; give the one that holds the films as they were sent.")
    shutil.rmtree(out, ignore_errors=True)
    shutil.copytree(base, out, copy_function=_link)
    wanted = {label.image_sha256: label for label in labels}
    present = {sha256_of(path) for split in SPLITS for path in _files(out / split)} if wanted else set()
    known = [digest for digest in wanted if digest in present]
    missing = set(wanted) - set(known)
    added: dict[str, Path] = {}
    if archive is not None and missing:
        for path in tqdm(list(_files(archive)), desc="looking through the archive", unit="file"):
            digest = sha256_of(path)
            if digest in missing and digest not in added:
                target = out / "train" / wanted[digest].label / f"{_PREFIX}{digest[:32]}{path.suffix.lower()}"
                target.parent.mkdir(parents=True, exist_ok=True)
                _link(str(path), str(target))
                added[digest] = target
    _extend_manifest(base, out, list(added.values()))
    too_close = _without_leaks(out, near_duplicate_bits) if added else 0
    return NewFilms(len(added) - too_close, len(missing) - len(added), len(known), too_close)


def _without_leaks(out: Path, near_duplicate_bits: int) -> int:
    """Take out new films that resemble one of another split; how many that were."""
    report = validate_dataset(scan_folder(out, required=SPLITS), near_duplicate_bits=near_duplicate_bits)
    close = {film.path for pair in report.leaks for film in (pair.first, pair.second) if film.path.name.startswith(_PREFIX)}
    for path in close:
        path.unlink()
    relatives = {path.relative_to(out).as_posix() for path in close}
    rows = [row for row in _manifest_rows(out) if row["path"] not in relatives]
    if close and (out / MANIFEST_NAME).exists():
        _write_manifest(out, rows)
    return len(close)


def _extend_manifest(base: Path, out: Path, added: Sequence[Path]) -> None:
    """Add the new films as a source of their own. A folder without a manifest has no sources and gets none."""
    if not added or not (base / MANIFEST_NAME).exists():
        return
    new = [
        {
            "path": path.relative_to(out).as_posix(),
            "split": "train",
            "label": path.parent.name,
            "source": SOURCE,
            "patient_or_group_id": path.stem,
        }
        for path in added
    ]
    (out / MANIFEST_NAME).unlink()  # a link to the original
    _write_manifest(out, [*_manifest_rows(base), *new])


def _manifest_rows(folder: Path) -> list[dict[str, str]]:
    path = folder / MANIFEST_NAME
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def _write_manifest(folder: Path, rows: Sequence[dict[str, str]]) -> None:
    columns = list(dict.fromkeys([*MANIFEST_COLUMNS, *(name for row in rows for name in row)]))
    with (folder / MANIFEST_NAME).open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, columns, restval="")
        writer.writeheader()
        writer.writerows({**row, "source": row.get("source") or UNKNOWN_SOURCE} for row in rows)


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file() and not path.name.startswith("."))


def _link(source: str, target: str) -> str:
    """A hard link, or a copy where the two are on different file systems."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
    return target
