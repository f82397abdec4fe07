"""`cxr explore`: describe a data set before training on it."""

import os
from pathlib import Path
from typing import Annotated

import typer

from training.commands.options import DataFolder, ResultsFolder


def explore(
    data: DataFolder,
    out: ResultsFolder = Path("reports/exploration"),
    threads: Annotated[int, typer.Option(min=1, help="Films read at the same time.")] = os.cpu_count() or 1,
) -> None:
    """Measure sizes, grey values, edges and texture of a data set, per class and source.

    Example: cxr explore --data data/cxr
    """
    from training.exploration.explore import explore

    print(explore(data, out, threads))
    written = ", ".join(sorted(f"{each.name}/" if each.is_dir() else each.name for each in out.iterdir()))
    print(f"Written to {out}: {written}")
