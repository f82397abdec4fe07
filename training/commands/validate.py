"""`cxr validate`: check a data folder before training."""

from pathlib import Path
from typing import Annotated

import typer

from training.commands.options import DataFolder
from training.config import DataConfig


def validate(
    data: DataFolder,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Write the report here, as Markdown.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Threads that read films. Default: one per core.")] = None,
    near_duplicate_bits: Annotated[
        int, typer.Option(help="Largest Hamming distance, of 256 bits, at which two films are near duplicates.")
    ] = DataConfig.near_duplicate_bits,
) -> None:
    """Validate a data folder: damaged films, duplicates, leaks between splits. Fails if it must not be trained on.

    Example: cxr validate --data data/cxr
    """
    from training.data.folder import scan_folder
    from training.data.validation import validate_dataset

    report = validate_dataset(scan_folder(data), threads=workers, near_duplicate_bits=near_duplicate_bits)
    if out is not None:
        report.write(out)
    print(report.table())
    report.require_trainable()
