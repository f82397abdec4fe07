"""`cxr score`: every film below a folder into one table."""

import signal
import sys
from pathlib import Path
from typing import Annotated

import typer

from service.commands.shared import Bundle, OperatingPoint, SiteFolder
from service.film.limits import DecodeLimits


def score(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder of the films, or one film.")],
    out: Annotated[Path, typer.Option(metavar="TABLE", help="CSV file to write.")],
    bundle: Bundle = None,
    site: SiteFolder = None,
    operating_point: OperatingPoint = "balanced",
    processes: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Films judged at once. Default: one per CPU.")
    ] = None,
    max_pixels: Annotated[int, typer.Option(metavar="N", min=1, help="Largest film, in pixels.")] = DecodeLimits().max_pixels,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace --out if it exists.")] = False,
) -> None:
    """Judge every film below a folder and write one row for each. For research use only.

    The row of a refused film has the reason, as does that of a file that is named like a picture but is none.
    Rows hold the films' paths, which may name patients, and their SHA-256, but nothing from DICOM headers.
    The same command continues a run that was interrupted or killed.
    The exit status is 0 once every film has its row, refused or not.

    Example: cxr score /data/archive --out predictions.csv
    """
    from service.process.cpus import usable_cpus
    from service.score.run import score_films

    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupt)
    try:
        summary = score_films(
            folder,
            out,
            bundle=bundle,
            site=site,
            operating_point=operating_point,
            processes=processes or usable_cpus(),
            max_pixels=max_pixels,
            overwrite=overwrite,
        )
    except KeyboardInterrupt:
        print("\nInterrupted; the same command goes on from here.", file=sys.stderr)
        raise typer.Exit(130) from None
    print(summary, file=sys.stderr)


def _interrupt(_signal: int, _frame: object) -> None:
    """Only the first Ctrl-C counts: another one would interrupt the clean-up."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise KeyboardInterrupt
