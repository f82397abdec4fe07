"""Markdown for reports: tables that are readable in a terminal too, links to plots, and percentages."""

from collections.abc import Iterable, Sequence

UNDEFINED = "-"

# Folder of the plots, beside the report.
PLOTS_FOLDER = "figures"


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]], *, words: int = 1) -> str:
    """A table with aligned columns, the first `words` of them to the left and the others to the right."""
    lines = [list(header), *([cell.replace("|", "/") for cell in row] for row in rows)]
    widths = [max(3, *(len(line[column]) for line in lines)) for column in range(len(header))]

    def joined(cells: Sequence[str]) -> str:
        padded = (cell.ljust(width) for cell, width in zip(cells[:words], widths[:words], strict=True))
        numbers = (cell.rjust(width) for cell, width in zip(cells[words:], widths[words:], strict=True))
        return f"| {' | '.join([*padded, *numbers])} |"

    rule = ["-" * width if column < words else "-" * (width - 1) + ":" for column, width in enumerate(widths)]
    return "\n".join([joined(lines[0]), joined(rule), *map(joined, lines[1:])])


def picture(title: str, name: str) -> str:
    """A link to a plot in PLOTS_FOLDER."""
    return f"![{title}]({PLOTS_FOLDER}/{name})"


def percent(share: float) -> str:
    """A share, 0..1, as text such as "12.3 %"."""
    return f"{100 * share:.1f} %"
