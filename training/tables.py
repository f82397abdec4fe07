"""Figures written down: Markdown tables for people, JSON values for programs. Knows nothing of what is measured."""

import math
from collections.abc import Iterable, Sequence

UNDEFINED = "-"


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]], *, words: int = 1) -> str:
    """A table with aligned columns, the first `words` to the left and the others to the right; readable in a terminal too."""
    lines = [list(header), *([cell.replace("|", "/") for cell in row] for row in rows)]
    widths = [max(3, *(len(line[column]) for line in lines)) for column in range(len(header))]

    def joined(cells: Sequence[str]) -> str:
        padded = (cell.ljust(width) for cell, width in zip(cells[:words], widths[:words], strict=True))
        numbers = (cell.rjust(width) for cell, width in zip(cells[words:], widths[words:], strict=True))
        return f"| {' | '.join([*padded, *numbers])} |"

    rule = ["-" * width if column < words else "-" * (width - 1) + ":" for column, width in enumerate(widths)]
    return "\n".join([joined(lines[0]), joined(rule), *map(joined, lines[1:])])


def plain(value: float) -> float | None:
    """A JSON number with six significant digits; NaN, which JSON has not, becomes None."""
    return None if math.isnan(value) else float(f"{value:.6g}")
