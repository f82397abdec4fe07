"""`cxr tune`: search for better training settings."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from training.commands.options import BaseConfig, Changes, DataFolder, ResultsFolder, ShortSide, TrainingFilms


def tune(
    data: DataFolder,
    storage: Annotated[str, typer.Option(help="Database of Optuna, as a URL; created if missing.")] = "sqlite:///runs/tune.db",
    study: Annotated[str, typer.Option(help="Name within the storage; a known name continues that study.")] = "tune",
    trials: Annotated[int, typer.Option(min=1, help="Stop when the study has this many finished trials.")] = 30,
    config: BaseConfig = Path("training/configs/lite0.toml"),
    changes: Changes = None,
    out: ResultsFolder = Path("runs/tune"),
    films: TrainingFilms = 600,
    epochs: Annotated[int, typer.Option(min=1, help="Epochs of a trial.")] = 5,
    side_px: ShortSide = 160,
) -> None:
    """Search for better training settings in short runs, and write the best as a configuration. The same command resumes.

    Example: cxr tune --data data/cxr --trials 60
    """
    from training.config_file import load_config
    from training.search.tune import TuneJob
    from training.search.tune import tune as run

    base = load_config(config, tuple(changes or ()))
    try:
        print(run(TuneJob(base, data, out, storage, study, trials, films, epochs, side_px)))
    except KeyboardInterrupt:
        print("\nInterrupted; the same command continues with another trial.", file=sys.stderr)
        raise
