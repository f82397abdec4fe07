"""A site's folder -> its films, with finding and patient where they are known. Opens no film."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from service.model.findings import FINDINGS, Finding
from training.commissioning.films.labels import LABELS_NAME, Row, composed, read_labels
from training.data.folder import files_below, named, visible
from training.errors import DatasetError, DatasetNotFound


@dataclass(frozen=True)
class FoundFilm:
    """One file of the site's folder."""

    path: Path
    # Path within the folder, with forward slashes, see `printable`; may name a patient, so only local files show it
    relative: str
    finding: Finding | None  # as the class folder or labels.csv says; None without a label
    patient: str | None = None  # as labels.csv says; None if it does not


def find_films(folder: Path, labels: Path | None = None) -> tuple[FoundFilm, ...]:
    """Every file of the folder that is not hidden, sorted by relative path; a stray file is later reported as unreadable.

    labels: table of labels with paths within the folder; None takes labels.csv of the folder, if it is there.
    A film's finding is that of its row in the table, else the name of its top-level folder, else unknown.

    Raises DatasetNotFound if the folder is missing, and DatasetError if it is empty, cannot be read, holds class folders in a
    subfolder or a misspelt class folder, or if the table is malformed or contradicts the folders.
    """
    if not folder.is_dir():
        raise DatasetNotFound(f"There is no folder {folder}; give the one that holds the site's films.")
    _refuse_other_layouts(folder)
    films = {film.relative: film for film in sorted(_walk(folder), key=lambda film: film.relative)}
    films.pop(LABELS_NAME, None)
    table = labels or folder / LABELS_NAME
    if labels or table.is_file():
        films |= _labelled(table, read_labels(table), films)
    if not films:
        raise DatasetError(f"{folder} holds no files; give the folder with the site's films.")
    return tuple(films.values())


def _walk(folder: Path) -> Iterator[FoundFilm]:
    for path in files_below(folder):
        relative = path.relative_to(folder)
        yield FoundFilm(path, printable(relative), _finding_of(relative.parts[0]) if relative.parent.name else None)


def printable(relative: Path) -> str:
    """A relative path with forward slashes, as valid UTF-8: bytes that are not become backslash escapes."""
    return os.fsencode(relative.as_posix()).decode("utf-8", "backslashreplace")


def _refuse_other_layouts(folder: Path) -> None:
    """Raise DatasetError for folders whose films would silently count as unlabelled."""
    allowed = ", ".join(FINDINGS)
    casefolded = {finding.casefold() for finding in FINDINGS}
    for child in visible(folder):
        if not child.is_dir() or _finding_of(child.name):
            continue
        if child.name.casefold() in casefolded:
            raise DatasetError(f"The folder {child.name}/ is not named as a class; the names are {allowed}.")
        if any((child / finding).is_dir() for finding in FINDINGS):
            raise DatasetError(
                f"{folder} holds class folders in {child.name}/ and not at its top; give {folder / child.name}, or move them."
            )


def _labelled(path: Path, rows: dict[str, Row], films: dict[str, FoundFilm]) -> dict[str, FoundFilm]:
    """The films that labels.csv names, with what it says of them. Raises DatasetError."""
    by_name = {composed(relative): film for relative, film in films.items()}
    missing = [relative for relative in rows if relative not in by_name]
    if missing:
        raise DatasetError(
            f"{path} names {len(missing)} file(s) that are not in the folder: {named(missing)}; correct or delete these lines."
        )
    described = {}
    for relative, row in rows.items():
        film = by_name[relative]
        if row.finding and film.finding and row.finding is not film.finding:
            raise DatasetError(
                f"{path}, line {row.line}, calls {relative} {row.finding}, but it lies in {film.finding}/; correct the line or "
                "move the film."
            )
        described[film.relative] = FoundFilm(film.path, film.relative, row.finding or film.finding, row.patient)
    return described


def _finding_of(name: str) -> Finding | None:
    return Finding(name) if name in list(FINDINGS) else None
