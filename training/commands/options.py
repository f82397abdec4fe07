"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

DataFolder = Annotated[Path, typer.Option(metavar="DIR", help="Folder train|val|test/<class>/…, optionally with manifest.csv.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps; overrides run.device.")]
Changes = Annotated[
    list[str] | None, typer.Option("--set", metavar="SECTION.KEY=VALUE", help="Override one setting; repeatable.")
]
