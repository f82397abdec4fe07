"""How far a run is, on stderr: a line that changes on a terminal, a line every ten seconds elsewhere."""

import sys
from collections import Counter
from time import monotonic

from service.score.rows import Row


class Progress:
    """total: files to look at."""

    def __init__(self, total: int) -> None:
        self._total, self._done, self._before = total, 0, 0
        self._begun = self._told = monotonic()
        self._is_terminal = sys.stderr.isatty()
        self._findings: Counter[str] = Counter()
        self._errors: Counter[str] = Counter()
        self._flagged = self._skipped = 0

    def add(self, row: Row | None) -> None:
        """Count one film; None for a file that is no picture."""
        self._done += 1
        self._count(row)
        now = monotonic()
        if now - self._told >= (0.2 if self._is_terminal else 10):
            self._told = now
            print(self._line(now), end="\r" if self._is_terminal else "\n", file=sys.stderr, flush=True)

    def count_earlier(self, row: Row) -> None:
        """Count a film that an earlier run judged, for the summary."""
        self._count(row)

    def go_on_from(self, done: int) -> None:
        """An earlier run looked at so many."""
        self._done = self._before = done

    def summary(self) -> str:
        """What became of all films."""
        found = ", ".join(f"{name} {count}" for name, count in sorted(self._findings.items())) or "none judged"
        refused = ", ".join(f"{name} {count}" for name, count in sorted(self._errors.items())) or "none"
        seconds = monotonic() - self._begun
        return (
            f"Judged: {found}. Flagged for review: {self._flagged}. Refused: {refused}. "
            f"Files that are no picture: {self._skipped}. {seconds:.0f} s."
        )

    def _count(self, row: Row | None) -> None:
        if row is None:
            self._skipped += 1
        elif row.get("error"):
            self._errors[row["error"]] += 1
        else:
            self._findings[row["prediction"]] += 1
            self._flagged += row["review_required"] == "true"

    def _line(self, now: float) -> str:
        rate = (self._done - self._before) / max(1e-9, now - self._begun)
        left = (self._total - self._done) / rate if rate else 0
        refused = sum(self._errors.values())
        return f"{self._done} of {self._total} films, {rate:.1f} a second, {left / 60:.0f} min left, {refused} refused  "
