"""Assembles the challenger's data set: the base data set, and films of the archive with a confirmed label.

New films join the training split only. Files are hard links where possible; the originals are never changed.
"""

import csv
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from service.model.bundle import sha256_of
from training.data.folder import MANIFEST_COLUMNS, MANIFEST_NAME, SPLITS, files_below, named, scan_folder
from training.data.validation import validate_dataset
from training.retraining.confirmed import films_in, no_archive

SOURCE = "feedback"
_PREFIX = "feedback_"


@dataclass(frozen=True)
class NewFilms:
    """Number of films with a confirmed label, by what became of them."""

    added: int  # to the training split
    not_in_archive: int  # left out: no file of the archive has their SHA-256
    known: int  # already in the base data set
    too_close: int  # left out: they resemble a film of the validation or test split

    def __str__(self) -> str:
        return (
            f"{self.added} films added, {self.not_in_archive} not in the archive, {self.known} in the data set already, "
            f"{self.too_close} too close to validation or test films"
        )


def assemble(base: Path, archive: Path | None, labels: Mapping[str, str], out: Path, near_duplicate_bits: int) -> NewFilms:
    """Write the data folder to train on to `out`, and delete what was there.

    archive: folder of films as they were sent; None adds none. labels: confirmed finding by the SHA-256 of a film.
    near_duplicate_bits: as in `DataConfig`; new films this close to one of another split are left out.
    Raises DatasetError or DatasetNotFound for a faulty `base` or a missing archive.
    """
    scan_folder(base, required=SPLITS)
    if archive is not None and not archive.is_dir():
        raise no_archive(archive)
    shutil.rmtree(out, ignore_errors=True)
    shutil.copytree(base, out, copy_function=_link)
    present = {sha256_of(path) for split in SPLITS for path in files_below(out / split)} if labels else set()
    missing = labels.keys() - present
    added: dict[str, Path] = {}
    found, unreadable = films_in(archive, missing) if archive is not None else ({}, [])
    if unreadable:
        names = named([str(path) for path in unreadable])
        print(f"{len(unreadable)} files of the archive cannot be read; check their permissions: {names}.", file=sys.stderr)
    for digest, path in found.items():
        added[digest] = out / "train" / labels[digest] / f"{_PREFIX}{digest[:32]}{path.suffix.lower()}"
        added[digest].parent.mkdir(parents=True, exist_ok=True)
        _link(str(path), str(added[digest]))
    too_close = _leaks(out, near_duplicate_bits) if added else set()
    for path in too_close:
        path.unlink()
    _extend_manifest(out, [path for path in added.values() if path not in too_close])
    return NewFilms(
        added=len(added) - len(too_close),
        not_in_archive=len(missing) - len(added),
        known=len(labels) - len(missing),
        too_close=len(too_close),
    )


def _leaks(out: Path, near_duplicate_bits: int) -> set[Path]:
    """The new films that equal or resemble a film of another split."""
    report = validate_dataset(scan_folder(out, required=SPLITS), near_duplicate_bits=near_duplicate_bits)
    return {film.path for pair in report.leaks for film in (pair.first, pair.second) if film.path.name.startswith(_PREFIX)}


def _extend_manifest(out: Path, added: Sequence[Path]) -> None:
    """Add the new films to the manifest as a source of their own. A folder without a manifest gets none."""
    manifest = out / MANIFEST_NAME
    if not added or not manifest.exists():
        return
    with manifest.open(newline="", encoding="utf-8-sig") as stream:
        reader = csv.DictReader(stream)
        columns, rows = reader.fieldnames or (), list(reader)
    for path in added:
        values = (path.relative_to(out).as_posix(), "train", path.parent.name, SOURCE, path.stem)
        rows.append(dict(zip(MANIFEST_COLUMNS, values, strict=True)))
    manifest.unlink()  # it is a hard link: writing to it would change the original
    with manifest.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, columns, restval="")
        writer.writeheader()
        writer.writerows(rows)


def _link(source: str, target: str) -> str:
    """A hard link, or a copy where the two are on different file systems."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
    return target
