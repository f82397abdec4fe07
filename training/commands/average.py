"""`cxr average`: the mean of several runs' weights."""

from pathlib import Path
from typing import Annotated

import typer

from training.commands.options import DataFolder, Device


def average(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN", help="Folders of finished runs with the same initial weights.")],
    data: DataFolder,
    out: Annotated[Path, typer.Option(metavar="DIR", help="New folder for best_model.pt.")],
    with_start: Annotated[bool, typer.Option("--with-start", help="Include the runs' initial weights.")] = False,
    last: Annotated[bool, typer.Option("--last", help="Average the runs as they ended, not their best epochs.")] = False,
    device: Device = "",
) -> None:
    """Average the weights of several runs, and print the validation metrics of each and of the mean.

    Example: cxr average runs/first runs/second --data data/cxr --out runs/mean
    """
    if len(runs) + with_start < 2:
        raise typer.BadParameter("Give at least two runs, or one and --with-start.")

    from training.run.average import average_runs

    print(average_runs(runs, data, out, with_start=with_start, last=last, device_name=device))
