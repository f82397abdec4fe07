"""Reads labels.csv of a site's folder: label and patient of each film. Opens no film."""

import csv
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from service.model.findings import FINDINGS, Finding
from training.errors import DatasetError

LABELS_NAME = "labels.csv"
PATH, LABEL, PATIENT = "path", "label", "patient"


@dataclass(frozen=True)
class Row:
    """One line of labels.csv."""

    line: int  # number in the file; the header is line 1
    finding: Finding | None  # None if the label is empty
    patient: str | None  # any text that tells patients apart; None if it is empty or the column is missing


def read_labels(path: Path) -> dict[str, Row]:
    """The rows by path within the folder, with forward slashes and `composed`. Columns but path, label, patient are ignored.

    Raises DatasetError for a file that is not CSV in UTF-8, lacks or misspells a column, or has a line with too few or too many
    cells, an unknown label, a path outside of the folder, or a path that another line has.
    """
    rows: dict[str, Row] = {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream, strict=True)
            reader.fieldnames = [name.strip() for name in reader.fieldnames or ()]
            _require_columns(reader.fieldnames, path)
            for cells in reader:
                line = reader.line_num
                if None in cells or None in cells.values():
                    raise DatasetError(
                        f"{path}, line {line}, has not as many cells as the header; quote cells that hold commas."
                    )
                relative = _inside(cells[PATH], path, line)
                if relative in rows:
                    raise DatasetError(f"{path} names {relative} on lines {rows[relative].line} and {line}; keep one of them.")
                patient = (cells.get(PATIENT) or "").strip() or None
                rows[relative] = Row(line, _finding(cells[LABEL].strip(), path, line), patient)
    except (OSError, UnicodeDecodeError, csv.Error) as fault:
        raise DatasetError(f"{path} cannot be read as CSV in UTF-8 ({fault}); save it again as such.") from fault
    return rows


def _require_columns(names: Sequence[str], path: Path) -> None:
    if missing := [column for column in (PATH, LABEL) if column not in names]:
        raise DatasetError(
            f"{path} lacks the column(s) {', '.join(missing)}; its first line is {','.join(names)[:200]!r} and must be "
            f"{PATH},{LABEL} or {PATH},{LABEL},{PATIENT}, with commas."
        )
    # Without an error, a column such as patient_id would be ignored, and each film count as a patient of its own.
    alike = [name for name in names if name.casefold().startswith(PATIENT)]
    if alike and PATIENT not in names:
        raise DatasetError(
            f"{path} has the column {alike[0]!r} and no column {PATIENT}; name it {PATIENT} if it tells patients apart, else "
            "so that it does not begin like that."
        )


def _inside(cell: str, path: Path, line: int) -> str:
    """The path with forward slashes and `composed`; tables from Windows have backslashes. Raises DatasetError."""
    relative = PurePosixPath(cell.strip().replace("\\", "/"))
    if relative.is_absolute() or ".." in relative.parts or not relative.parts:
        raise DatasetError(
            f"{path}, line {line}: {cell!r} is not a path within the folder; give paths relative to it, and copy or link other "
            "films into it."
        )
    return composed(relative.as_posix())


def composed(path: str) -> str:
    """A path in Unicode form NFC, an accented letter in one character: file names of macOS have two, tables have one."""
    return unicodedata.normalize("NFC", path)


def _finding(cell: str, path: Path, line: int) -> Finding | None:
    if not cell:
        return None
    try:
        return Finding(cell)
    except ValueError:
        raise DatasetError(
            f"{path}, line {line}: {cell[:64]!r} is not a label; write {', '.join(FINDINGS)}, or nothing if it is unknown."
        ) from None
