"""`cxr retrain`: train a challenger if there is a reason, and promote it if it is better."""

from pathlib import Path
from typing import Annotated

import typer


def retrain(
    data: Annotated[Path, typer.Option(help="Data folder with train/, val/ and test/.")],
    prometheus: Annotated[
        str | None,
        typer.Option(help="Address of a Prometheus, whose alerts are reasons. Default: only labels are."),
    ] = None,
    archive: Annotated[Path | None, typer.Option(help="Folder with films as they were sent, found by their SHA-256.")] = None,
    models: Annotated[Path | None, typer.Option(help="Folder of the releases. Default: the project's models/.")] = None,
    runs: Annotated[Path, typer.Option(help="Folder of retrainings.")] = Path("runs/retraining"),
    labels: Annotated[int, typer.Option(help="More new labels than this are a reason.")] = 1000,
    force: Annotated[str | None, typer.Option(metavar="REASON", help="Retrain without a trigger.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show triggers, and train nothing.")] = False,
    config: Annotated[Path | None, typer.Option(help="Training configuration. Default: training/configs/retrain.toml.")] = None,
    changes: Annotated[
        list[str] | None, typer.Option("--set", metavar="SECTION.KEY=VALUE", help="Override one setting; repeatable.")
    ] = None,
    parts: Annotated[str | None, typer.Option(help="Parts of the evaluation; comparison must be one of them.")] = None,
    mlflow: Annotated[str | None, typer.Option(metavar="EXPERIMENT", help="Track run and decision in MLflow.")] = None,
) -> None:
    """Train a challenger from the released model if there is a reason, and promote it if it is better.

    Run it every night: without a reason it does nothing, and it resumes a retraining that was killed.

    Example: cxr retrain --data DATA --prometheus http://prometheus:9090 --archive FILMS
    """
    from service.model.releases import MODELS_DIR
    from training.evaluation.parts.table import select_parts
    from training.retraining import retrain as module

    try:
        select_parts(parts or module.PARTS)
    except ValueError as fault:
        raise typer.BadParameter(str(fault), param_hint="--parts") from fault
    job = module.RetrainingJob(
        data=data,
        prometheus=prometheus,
        archive=archive,
        models=models or MODELS_DIR,
        runs=runs,
        labels=labels,
        force=force,
        config=config or module.CONFIG,
        changes=tuple(changes or ()),
        parts=parts or module.PARTS,
        mlflow=mlflow,
    )
    module.retrain(job, dry_run=dry_run)
