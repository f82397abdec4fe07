"""A data folder -> film files with split, finding, source and patient. Opens no film."""

import csv
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
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

_MOST_NAMED = 10  # items that an error message lists


@dataclass(frozen=True)
class FilmFile:
    """One file of the data folder."""

    path: Path
    relative: str  # path within the data folder, with forward slashes; reports and the fingerprint use it
    split: str  # "train", "val" or "test"
    finding: Finding  # class, as the folder's name says
    source: str  # hospital or collection; "unknown" if no manifest names it
    group: str | None  # shared by the films of one patient, which must be in one split; None if unknown
    in_manifest: bool = True  # False if there is a manifest and it does not name this file


def fingerprint(digests: Iterable[tuple[str, str]]) -> str:
    """SHA-256 (hex) over the relative path and SHA-256 of each film, in any order: identifies a set of films."""
    whole = hashlib.sha256()
    for relative, sha256 in sorted(digests):
        whole.update(f"{relative}\0{sha256}\n".encode())
    return whole.hexdigest()


def folder_fingerprint(films: Sequence[FilmFile], *, threads: int) -> str:
    """Fingerprint of all films, as runs and bundles record it."""

    def digest(film: FilmFile) -> tuple[str, str]:
        return film.relative, sha256_of(film.path)

    return fingerprint(each_of(films, digest, threads=threads, title="Hashing films"))


def sources_fingerprint(films: Iterable[FilmFile]) -> str:
    """SHA-256 (hex) over path, source and group of each film, in any order: identifies what manifest.csv says of them.

    Holding out, balancing and aligning sources depend on it, and the fingerprint of the films does not cover it.
    """
    return fingerprint((film.relative, f"{film.source}\0{film.group or ''}") for film in films)


def scan_folder(root: Path, required: Sequence[str] = REQUIRED_SPLITS) -> tuple[FilmFile, ...]:
    """List the films of `root`/{train,val,test}/{finding}/**, sorted by relative path, with what manifest.csv adds.

    required: splits that must exist. Every file that is not hidden counts as a film; a stray file is later reported as
    unreadable. manifest.csv is optional. It needs the columns path, split, label, source and patient_or_group_id. Cells of the
    last two may be empty; other columns are ignored.

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
    films = {film.relative: film for film in sorted(_walk(root), key=lambda film: film.relative)}
    manifest = root / MANIFEST_NAME
    if manifest.exists():
        films = {relative: replace(film, in_manifest=False) for relative, film in films.items()} | _described(manifest, films)
    return tuple(films.values())


def _walk(root: Path) -> Iterator[FilmFile]:
    for split in SPLITS:
        if not (root / split).is_dir():
            continue
        for folder in visible(root / split):
            finding = _finding_of(folder, root)
            for path in files_below(folder):
                yield FilmFile(path, path.relative_to(root).as_posix(), split, finding, UNKNOWN_SOURCE, None)


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
    for folder in visible(root):
        if folder.name not in SPLITS and any((folder / finding).is_dir() for finding in FINDINGS):
            raise DatasetError(
                f"The folder {folder.name}/ holds findings but is not a split; the allowed names are {', '.join(SPLITS)}."
            )


def _described(manifest: Path, films: dict[str, FilmFile]) -> dict[str, FilmFile]:
    """The films that the manifest names, with what it says of them. Raises DatasetError."""
    rows = _read_manifest(manifest)
    missing = [path for path in rows if path not in films]
    if missing:
        raise DatasetError(
            f"{manifest} names {len(missing)} file(s) that are not in the folder: {named(missing)}; "
            "restore them or delete their lines."
        )
    contradictions = [
        f"{path} (line {line} says split {cells['split']!r}, label {cells['label']!r})"
        for path, (line, cells) in rows.items()
        if (cells["split"], cells["label"]) != (films[path].split, films[path].finding.value)
    ]
    if contradictions:
        raise DatasetError(
            f"{manifest} contradicts the folder in {len(contradictions)} file(s): {named(contradictions)}; "
            "move the files or correct the lines."
        )
    return {
        path: replace(
            films[path],
            source=cells["source"].strip() or UNKNOWN_SOURCE,
            group=cells["patient_or_group_id"].strip() or None,
        )
        for path, (_, cells) in rows.items()
    }


def _read_manifest(manifest: Path) -> dict[str, tuple[int, dict[str, str]]]:
    """Path of a film -> line number and cells."""
    rows: dict[str, tuple[int, dict[str, str]]] = {}
    try:
        with manifest.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream, strict=True)
            missing = [column for column in MANIFEST_COLUMNS if column not in (reader.fieldnames or ())]
            if missing:
                raise DatasetError(f"{manifest} lacks the column(s) {', '.join(missing)}; add them to its header line.")
            for cells in reader:
                line = reader.line_num
                if None in cells or None in cells.values():
                    raise DatasetError(
                        f"{manifest}, line {line}, has not as many cells as the header; quote cells that hold commas."
                    )
                path = cells["path"]
                if path in rows:
                    raise DatasetError(f"{manifest} names {path} on lines {rows[path][0]} and {line}; keep one of them.")
                rows[path] = (line, cells)
    except (OSError, UnicodeDecodeError, csv.Error) as fault:
        raise DatasetError(f"{manifest} cannot be read as CSV in UTF-8 ({fault}); save it again as such.") from fault
    return rows


def named(items: list[str]) -> str:
    """The first ten items, comma separated, and how many more there are."""
    more = len(items) - _MOST_NAMED
    return ", ".join(items[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def files_below(folder: Path, above: frozenset[Path] = frozenset()) -> Iterator[Path]:
    """Every file below a folder that is not hidden and lies in no hidden folder, also through links to folders.

    above: real paths of the folders that this one lies in, for links that lead back into them.
    Raises DatasetError for a folder that cannot be read.
    """
    above |= {folder.resolve()}
    for child in visible(folder):
        if child.is_file():
            yield child
        elif child.is_dir() and child.resolve() not in above:
            yield from files_below(child, above)


def visible(folder: Path) -> list[Path]:
    """What a folder holds and is not hidden, by name. Raises DatasetError if it cannot be read."""
    try:
        return sorted(child for child in folder.iterdir() if not child.name.startswith("."))
    except OSError as fault:
        raise DatasetError(f"The folder {folder} cannot be read ({fault.strerror}); check its permissions.") from fault
