"""`cxr retrain`: train a challenger if there is a reason, and promote it if it is better."""

import os
from pathlib import Path
from typing import Annotated

import typer

from training.commands.options import Changes, DataFolder, Experiment


def retrain(
    data: DataFolder,
    prometheus: Annotated[
        str | None,
        typer.Option(
            metavar="URL", help="Prometheus whose alerts are reasons to retrain. Default: none; only new labels are a reason."
        ),
    ] = None,
    archive: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder with films as they were sent, found by their SHA-256.")
    ] = None,
    models: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder of the releases. Default: the project's models/.")
    ] = None,
    runs: Annotated[Path, typer.Option(metavar="DIR", help="Folder of retrainings.")] = Path("runs/retraining"),
    labels: Annotated[int, typer.Option(metavar="N", help="Retrain if there are more new labels than this.")] = 1000,
    force: Annotated[str | None, typer.Option(metavar="REASON", help="Retrain for a reason of your own.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the reasons, and train nothing.")] = False,
    config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Settings in TOML. Default: training/configs/retrain.toml.")
    ] = None,
    changes: Changes = None,
    mlflow: Experiment = None,
) -> None:
    """Train a challenger from the released model if there is a reason, and promote it if it is better.

    Where a site profile is served, a better challenger is released and needs commissioning before it is promoted.
    Run it every night: without a reason it does nothing, and it resumes a retraining that was killed.

    Example: cxr retrain --data data/cxr --prometheus http://prometheus:9090 --archive /archive
    """
    from service.model.releases import MODELS_DIR
    from training.retraining import retrain as module

    job = module.RetrainingJob(
        data=data,
        prometheus=prometheus,
        archive=archive,
        models=models or MODELS_DIR,
        site=os.environ.get("CXR_SITE"),
        runs=runs,
        labels=labels,
        force=force,
        config=config or module.CONFIG,
        changes=tuple(changes or ()),
        mlflow=mlflow,
    )
    module.retrain(job, dry_run=dry_run)
