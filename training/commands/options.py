"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

DataFolder = Annotated[Path, typer.Option(metavar="DIR", help="Folder train|val|test/<class>/…, optionally with manifest.csv.")]
ResultsFolder = Annotated[Path, typer.Option(metavar="DIR", help="Folder of the results; created if missing.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps; overrides run.device.")]
Changes = Annotated[
    list[str] | None, typer.Option("--set", metavar="SECTION.KEY=VALUE", help="Override one setting; repeatable.")
]
BaseConfig = Annotated[Path, typer.Option(metavar="FILE", help="Settings in TOML to start from.")]
TrainingFilms = Annotated[int, typer.Option(min=1, help="Training films of a short run, at most.")]
ShortSide = Annotated[int, typer.Option(metavar="PX", help="Side of the model input in short runs.")]
Experiment = Annotated[
    str | None,
    typer.Option(metavar="EXPERIMENT", help="Track in MLflow: mlflow.db beside the run's folder, or MLFLOW_TRACKING_URI."),
]
