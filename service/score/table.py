"""The table that a run writes. It grows row by row in a file beside it, which a later run can continue."""

import csv
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType

from service.errors import SettingsError
from service.files import atomic_write
from service.score.rows import COLUMNS, Row

# File names are bytes that need not be UTF-8: kept as they are in the unfinished file, spelled out in the finished table.
_ANY_NAME = "surrogateescape"
_SPELLED_OUT = "backslashreplace"


class Table:
    """Rows of one run.

    out: CSV file of the finished table.
    settings: what the rows depend on; only an unfinished table of the same settings is continued.
    overwrite: whether `out` may exist.

    Raises SettingsError if the file exists, or if the unfinished table is of other settings.
    """

    def __init__(self, out: Path, settings: Mapping[str, str], overwrite: bool) -> None:
        self._out = out
        self._partial = out.with_name(f"{out.name}.partial")
        self._note = out.with_name(f"{out.name}.partial.json")
        if out.exists() and not overwrite:
            raise SettingsError(f"{out} exists; give another --out, or --overwrite.")
        if self._note.exists() and self._partial.exists():
            began = json.loads(self._note.read_text("utf-8"))
            if began != dict(settings):
                changed = ", ".join(name for name in settings if began.get(name) != settings[name])
                raise SettingsError(
                    f"{self._partial} was begun with another {changed}; finish it as it was begun, or delete it to begin anew."
                )
            self._drop_torn_line()
        else:
            self._partial.write_bytes(b"")
            self._note.write_text(json.dumps(dict(settings)), "utf-8")
        self._stream = self._partial.open("a", newline="", encoding="utf-8", errors=_ANY_NAME)
        self._writer = csv.DictWriter(self._stream, COLUMNS, restval="")

    def __enter__(self) -> "Table":
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None) -> None:
        self._stream.close()

    def rows(self) -> Iterator[Row]:
        """The rows written so far."""
        with self._partial.open(newline="", encoding="utf-8", errors=_ANY_NAME) as stream:
            yield from csv.DictReader(stream, COLUMNS)

    def add(self, row: Row) -> None:
        """Append a row; it survives if this process is killed."""
        self._writer.writerow(row)
        self._stream.flush()

    def finish(self) -> None:
        """Write the finished table, and remove the unfinished one."""
        self._stream.close()
        # Sorted, since films that were added between two runs were judged last.
        rows = sorted(self.rows(), key=lambda row: row["path"].removeprefix("./").split("/"))
        with (
            atomic_write(self._out) as draft,
            draft.open("w", newline="", encoding="utf-8", errors=_SPELLED_OUT) as stream,
        ):
            writer = csv.DictWriter(stream, COLUMNS)
            writer.writeheader()
            writer.writerows(rows)
        self._partial.unlink()
        self._note.unlink()

    def _drop_torn_line(self) -> None:
        """Drop the incomplete last line of a process that was killed while it wrote."""
        with self._partial.open("r+b") as stream:
            stream.seek(max(0, stream.seek(0, os.SEEK_END) - 65_536))
            start, tail = stream.tell(), stream.read()
            stream.truncate(start + tail.rfind(b"\n") + 1)
