"""`cxr train`: one training run."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from training.commands.options import Changes, DataFolder, Device, Experiment


def train(
    config: Annotated[Path, typer.Option(metavar="FILE", help="Settings in TOML, such as those in training/configs/.")],
    data: DataFolder,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder of the run; created if missing.")],
    device: Device = "",
    version: Annotated[str, typer.Option(help="Semantic version in the checkpoint's name.")] = "0.0.0",
    resume: Annotated[bool, typer.Option("--resume", help="Continue from latest_checkpoint.pt in --out.")] = False,
    mlflow: Experiment = None,
    changes: Changes = None,
) -> None:
    """Train a classifier, or resume a run. Under torchrun, several processes train together.

    Example: cxr train --config training/configs/lite0.toml --data data/cxr --out runs/lite0 --version 1.2.0
    """
    from training.config_file import load_config
    from training.run import train as run
    from training.run.job import TrainingJob

    settings = load_config(config, tuple(changes or ()))
    try:
        run.train(TrainingJob(settings, data, out, version, resume, device, mlflow))
    except KeyboardInterrupt:
        print(f"\nInterrupted; the same command with --resume continues after the last epoch in {out}.", file=sys.stderr)
        raise
