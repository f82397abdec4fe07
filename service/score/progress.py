"""Progress of a run on stderr: one line that changes on a terminal, a line every ten seconds elsewhere."""

import sys
from collections import Counter
from collections.abc import Iterable
from time import monotonic

from service.score.rows import Row


class Progress:
    """Counts films and tells how many are left.

    total: files to look at.
    earlier: rows of an unfinished run that this one continues.
    """

    def __init__(self, total: int, earlier: Iterable[Row]) -> None:
        self._total = total
        self._findings: Counter[str] = Counter()
        self._errors: Counter[str] = Counter()
        self._done = self._flagged = self._skipped = 0
        for row in earlier:
            self._count(row)
        self._done_before = self._done
        self._began = self._printed = monotonic()
        self._is_terminal = sys.stderr.isatty()

    def add(self, row: Row | None) -> None:
        """Count one film, or None for a file that is no picture."""
        self._count(row)
        now = monotonic()
        if now - self._printed >= (0.2 if self._is_terminal else 10):
            self._printed = now
            print(self._line(now), end="\r" if self._is_terminal else "\n", file=sys.stderr, flush=True)

    def summary(self) -> str:
        """Totals over all films, those of an earlier run too."""
        found = ", ".join(f"{name} {count}" for name, count in sorted(self._findings.items())) or "none judged"
        refused = ", ".join(f"{name} {count}" for name, count in sorted(self._errors.items())) or "none"
        seconds = monotonic() - self._began
        return (
            f"Judged: {found}. Flagged for review: {self._flagged}. Refused: {refused}. "
            f"Files that are no picture: {self._skipped}. {seconds:.0f} s."
        )

    def _count(self, row: Row | None) -> None:
        self._done += 1
        if row is None:
            self._skipped += 1
        elif row.get("error"):
            self._errors[row["error"]] += 1
        else:
            self._findings[row["prediction"]] += 1
            self._flagged += row["review_required"] == "true"

    def _line(self, now: float) -> str:
        rate = (self._done - self._done_before) / max(1e-9, now - self._began)
        left = (self._total - self._done) / rate if rate else 0
        refused = sum(self._errors.values())
        return f"{self._done} of {self._total} films, {rate:.1f} a second, {left / 60:.0f} min left, {refused} refused  "
