"""`cxr explore`: what a data set is like before anything is trained on it."""

import os
from pathlib import Path
from typing import Annotated

import typer

from training.commands.options import DataFolder, ResultsFolder


def explore(
    data: DataFolder,
    out: ResultsFolder = Path("reports/exploration"),
    threads: Annotated[int, typer.Option(help="Films read at the same time.")] = os.cpu_count() or 1,
) -> None:
    """Measure sizes, grey values, edges and texture of a data set, per class and source.

    Example: cxr explore --data data/cxr
    """
    from training.exploration.explore import explore
    from training.exploration.report import summary

    values = explore(data, out, threads)
    print(summary(values))
    written = ", ".join(sorted(f"{each.name}/" if each.is_dir() else each.name for each in out.iterdir()))
    print(f"\n{len(values['refused'])} films refused. Written to {out}: {written}")
