"""`cxr tune`: search for better training settings."""

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from training.commands.options import Changes, DataFolder


def tune(
    data: DataFolder,
    storage: Annotated[str, typer.Option(help="Database of Optuna, as a URL; created if missing.")] = "sqlite:///runs/tune.db",
    study: Annotated[str, typer.Option(help="Name within the storage; the same name continues.")] = "tune",
    trials: Annotated[int, typer.Option(min=1, help="Finished trials that the study shall have.")] = 30,
    mode: Annotated[
        Literal["features", "short"], typer.Option(help="Heads on features of the frozen backbone, or short whole runs.")
    ] = "features",
    metric: Annotated[Literal["val_auc", "val_f1"], typer.Option(help="What to maximise.")] = "val_auc",
    config: Annotated[Path, typer.Option(metavar="FILE", help="Settings that the search starts with.")] = Path(
        "training/configs/lite0.toml"
    ),
    changes: Changes = None,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder of features and the best settings.")] = Path("runs/tune"),
    films: Annotated[int, typer.Option(min=1, help="Training films, at most.")] = 600,
    views: Annotated[int, typer.Option(min=1, help="Augmented views of a film, with --mode features.")] = 5,
    epochs: Annotated[int | None, typer.Option(min=1, help="Epochs of a trial. Default: 10 for features, 5 for short.")] = None,
    side_px: Annotated[int, typer.Option(help="Side of the model input in trials.")] = 160,
) -> None:
    """Search for better training settings; the same command continues a search. Writes the best as a configuration.

    Example: cxr tune --data DIR --trials 60
    """
    from training.config_file import load_config
    from training.search.tune import TuneJob
    from training.search.tune import tune as run

    base = load_config(config, tuple(changes or ()))
    try:
        print(run(TuneJob(base, data, out, storage, study, trials, mode, metric, films, views, epochs, side_px)))
    except KeyboardInterrupt:
        print("\nInterrupted; the same command continues with another trial.", file=sys.stderr)
        raise
