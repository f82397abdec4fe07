"""A data folder -> film files: which picture belongs to which split, finding, source and patient. Opens no picture."""

import csv
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from service.model.bundle import sha256_of
from service.model.findings import FINDINGS, Finding
from training.data.parallel import each_of
from training.errors import DatasetError, DatasetNotFound

SPLITS = ("train", "val", "test")
REQUIRED_SPLITS = ("train", "val")
MANIFEST_NAME = "manifest.csv"
MANIFEST_COLUMNS = ("path", "split", "label", "source", "patient_or_group_id")
UNKNOWN_SOURCE = "unknown"

_NAMED_AT_MOST = 10  # as many files as an error message can name and still be read


@dataclass(frozen=True)
class FilmFile:
    """One file of the data folder, as its place in the tree and the manifest describe it.

    path: where the file is.
    relative: its path inside the data folder, with forward slashes; the name used in reports and in the fingerprint.
    split: "train", "val" or "test".
    source: hospital or collection; "unknown" when no manifest names it.
    group: films of one patient share it, and must share a split; None when unknown.
    in_manifest: False when there is a manifest and it does not name this file.
    """

    path: Path
    relative: str
    split: str
    finding: Finding
    source: str
    group: str | None
    in_manifest: bool = True


@dataclass(frozen=True)
class _Row:
    line: int
    path: str
    split: str
    label: str
    source: str
    group: str | None


def fingerprint(digests: Iterable[tuple[str, str]]) -> str:
    """Identity of a set of films: SHA-256 (hex) over the relative path and SHA-256 of each, whatever their order."""
    whole = hashlib.sha256()
    for relative, sha256 in sorted(digests):
        whole.update(f"{relative}\0{sha256}\n".encode())
    return whole.hexdigest()


def folder_fingerprint(films: Sequence[FilmFile], *, threads: int) -> str:
    """Identity of all films, as a run and its bundle record it of the folder that they were trained on."""

    def digest(film: FilmFile) -> tuple[str, str]:
        return film.relative, sha256_of(film.path)

    return fingerprint(each_of(films, digest, threads=threads, title="Hashing films"))


def sources_fingerprint(films: Iterable[FilmFile]) -> str:
    """Identity of what manifest.csv says of films: SHA-256 (hex) over path, source and group of each, whatever their order.

    What is held out, balanced and aligned depends on it, and the films' own fingerprint does not.
    """
    return fingerprint((film.relative, f"{film.source}\0{film.group or ''}") for film in films)


def scan_folder(root: Path, required: Sequence[str] = REQUIRED_SPLITS) -> tuple[FilmFile, ...]:
    """List the films of `root`/{train,val,test}/{finding}/**, sorted by relative path, with what manifest.csv adds.

    required: splits that must be there; by default those that training needs. Every file that is not hidden counts as a film,
    so that a stray one shows up as unreadable instead of vanishing. manifest.csv is optional; when there, its columns path,
    split, label, source and patient_or_group_id must be, while cells of the last two may be empty and further columns are
    ignored.

    Raises DatasetNotFound when the folder or a required split is missing, and DatasetError when a folder is not a finding,
    a film lies outside the finding folders, or the manifest is malformed or contradicts the tree.
    """
    root = Path(root)
    wanted = f"it must hold {' and '.join(f'{split}/' for split in required)}, each with the folders {', '.join(FINDINGS)}"
    if not root.is_dir():
        raise DatasetNotFound(f"There is no data folder {root}; {wanted}.")
    for split in required:
        if not (root / split).is_dir():
            raise DatasetNotFound(f"The data folder {root} has no {split}/; {wanted}.")
    _refuse_misnamed_splits(root)
    places = {path.relative_to(root).as_posix(): (path, split, finding) for path, split, finding in _walk(root)}
    manifest = root / MANIFEST_NAME
    if not manifest.exists():
        return tuple(FilmFile(*place, UNKNOWN_SOURCE, None) for place in _ordered(places))
    rows = _read_manifest(manifest)
    _check_against_tree(manifest, rows, places)
    films = []
    for path, relative, split, finding in _ordered(places):
        row = rows.get(relative)
        source, group = (row.source, row.group) if row else (UNKNOWN_SOURCE, None)
        films.append(FilmFile(path, relative, split, finding, source, group, in_manifest=row is not None))
    return tuple(films)


def without_source(films: Iterable[FilmFile], source: str) -> list[FilmFile]:
    """The films of every other source; all of them if `source` is empty.

    Raises DatasetError if there are none of that source, or if the others do not show every finding in train and val.
    """
    films = list(films)
    kept = [film for film in films if not source or film.source != source]
    if source and len(kept) == len(films):
        known = ", ".join(sorted({film.source for film in films}))
        raise DatasetError(f"There are no films of the source {source!r} to hold out (data.held_out_source); known: {known}.")
    shown = {(film.split, film.finding) for film in kept}
    lost = [f"{finding} in {split}" for split in REQUIRED_SPLITS for finding in FINDINGS if (split, finding) not in shown]
    if source and lost:
        raise DatasetError(f"Without the source {source!r} there are no films of {', '.join(lost)}; hold out another one.")
    return kept


def _ordered(places: dict[str, tuple[Path, str, Finding]]) -> Iterator[tuple[Path, str, str, Finding]]:
    for relative in sorted(places):
        path, split, finding = places[relative]
        yield path, relative, split, finding


def _walk(root: Path) -> Iterator[tuple[Path, str, Finding]]:
    for split in SPLITS:
        if not (root / split).is_dir():
            continue
        for folder in _visible(root / split):
            finding = _finding_of(folder, root)
            for path in folder.rglob("*"):
                if path.is_file() and not _is_hidden(path.relative_to(root)):
                    yield path, split, finding


def _finding_of(folder: Path, root: Path) -> Finding:
    relative = folder.relative_to(root).as_posix()
    allowed = ", ".join(FINDINGS)
    if not folder.is_dir():
        raise DatasetError(f"{relative} lies outside the finding folders; move it into one of {allowed}, or away.")
    try:
        return Finding(folder.name)
    except ValueError:
        raise DatasetError(f"The folder {relative}/ is not a finding; the allowed names are {allowed}.") from None


def _refuse_misnamed_splits(root: Path) -> None:
    for folder in _visible(root):
        if folder.name not in SPLITS and any((folder / finding).is_dir() for finding in FINDINGS):
            raise DatasetError(
                f"The folder {folder.name}/ holds findings but is not a split; the allowed names are {', '.join(SPLITS)}."
            )


def _visible(folder: Path) -> list[Path]:
    return sorted(child for child in folder.iterdir() if not child.name.startswith("."))


def _is_hidden(relative: Path) -> bool:
    return any(part.startswith(".") for part in relative.parts)


def _read_manifest(manifest: Path) -> dict[str, _Row]:
    rows: dict[str, _Row] = {}
    try:
        with manifest.open(encoding="utf-8-sig", newline="") as lines:
            reader = csv.DictReader(lines, strict=True)
            missing = [column for column in MANIFEST_COLUMNS if column not in (reader.fieldnames or ())]
            if missing:
                raise DatasetError(f"{manifest} lacks the column(s) {', '.join(missing)}; add them to its header line.")
            for cells in reader:
                row = _row(manifest, reader.line_num, cells)
                if row.path in rows:
                    raise DatasetError(
                        f"{manifest} names {row.path} on lines {rows[row.path].line} and {row.line}; keep one of them."
                    )
                rows[row.path] = row
    except (OSError, UnicodeDecodeError, csv.Error) as fault:
        raise DatasetError(f"{manifest} cannot be read as CSV in UTF-8 ({fault}); save it again as such.") from fault
    return rows


def _row(manifest: Path, line: int, cells: dict[str, str]) -> _Row:
    if None in cells or None in cells.values():
        raise DatasetError(f"{manifest}, line {line}, has not as many cells as the header; quote cells that hold commas.")
    return _Row(
        line=line,
        path=cells["path"],
        split=cells["split"],
        label=cells["label"],
        source=cells["source"].strip() or UNKNOWN_SOURCE,
        group=cells["patient_or_group_id"].strip() or None,
    )


def _check_against_tree(manifest: Path, rows: dict[str, _Row], places: dict[str, tuple[Path, str, Finding]]) -> None:
    missing = [path for path in rows if path not in places]
    if missing:
        raise DatasetError(
            f"{manifest} names {len(missing)} file(s) that are not in the folder: {named(missing)}; "
            "restore them or delete their lines."
        )
    contradictions = [
        f"{row.path} (line {row.line} says split {row.split!r}, label {row.label!r})"
        for row in rows.values()
        if (row.split, row.label) != (places[row.path][1], places[row.path][2].value)
    ]
    if contradictions:
        raise DatasetError(
            f"{manifest} contradicts the folder of {len(contradictions)} file(s): {named(contradictions)}; "
            "move the files or mend the lines."
        )


def named(items: list[str]) -> str:
    """The first ten items, comma separated, and how many more there are."""
    more = len(items) - _NAMED_AT_MOST
    return ", ".join(items[:_NAMED_AT_MOST]) + (f" and {more} more" if more > 0 else "")
