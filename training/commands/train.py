"""`cxr train`: one training run."""

import sys
from pathlib import Path
from typing import Annotated

import typer


def train(
    config: Annotated[Path, typer.Option(metavar="FILE", help="Settings in TOML, such as those in training/configs/.")],
    data: Annotated[Path, typer.Option(metavar="DIR", help="Folder train|val|test/<class>/…, optionally with manifest.csv.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder of the run; created if missing.")],
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps; overrides run.device.")] = "",
    version: Annotated[str, typer.Option(help="Semantic version in the checkpoint's name.")] = "0.0.0",
    resume: Annotated[bool, typer.Option("--resume", help="Continue from latest_checkpoint.pt in --out.")] = False,
    mlflow: Annotated[
        str | None,
        typer.Option(metavar="EXPERIMENT", help="Track the run in MLflow: mlflow.db beside --out, or MLFLOW_TRACKING_URI."),
    ] = None,
    mlflow_checkpoint: Annotated[bool, typer.Option("--mlflow-checkpoint", help="Store best_model.pt in MLflow too.")] = False,
    changes: Annotated[
        list[str] | None, typer.Option("--set", metavar="SECTION.KEY=VALUE", help="Override one setting; repeatable.")
    ] = None,
) -> None:
    """Train a classifier, or resume a run. Starts in several processes under torchrun.

    Example: cxr train --config training/configs/lite0.toml --data DIR --out runs/lite0 --version 1.2.0
    """
    from training.config_file import load_config
    from training.run import train as run
    from training.run.job import TrainingJob

    settings = load_config(config, tuple(changes or ()))
    try:
        run.train(TrainingJob(settings, data, out, version, resume, device, mlflow, mlflow_checkpoint))
    except KeyboardInterrupt:
        print(f"\nInterrupted; with --resume the same command goes on after the last epoch in {out}.", file=sys.stderr)
        raise
