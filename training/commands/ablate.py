"""`cxr ablate`: what each augmentation is worth."""

from pathlib import Path
from typing import Annotated

import typer

from training.commands.options import BaseConfig, Changes, DataFolder, ResultsFolder, ShortSide, TrainingFilms


def ablate(
    data: DataFolder,
    out: ResultsFolder = Path("runs/ablation"),
    config: BaseConfig = Path("training/configs/lite0.toml"),
    seeds: Annotated[int, typer.Option(min=1, help="Seeds per row; raise the number later to add more.")] = 3,
    films: TrainingFilms = 600,
    epochs: Annotated[int, typer.Option(min=1, help="Epochs of the head's training.")] = 5,
    side_px: ShortSide = 160,
    only: Annotated[
        list[str] | None, typer.Option(metavar="ROW", help="Compare this row with the baseline; repeatable. Default: all rows.")
    ] = None,
    changes: Changes = None,
) -> None:
    """Compare augmentations one by one, on a frozen backbone. The same command resumes; finished runs are kept.

    Example: cxr ablate --data data/cxr --only noise --only mixup
    """
    from training.config_file import load_config
    from training.search.ablate import CELLS_NAME, TABLE_NAME, AblationJob
    from training.search.ablate import ablate as run
    from training.search.ablation import ROWS

    unknown = sorted(set(only or ()) - set(ROWS))
    if unknown:
        raise typer.BadParameter(f"There is no row {', '.join(unknown)}; rows: {', '.join(ROWS)}.")
    base = load_config(config, tuple(changes or ()))
    print(run(AblationJob(base, data, out, seeds, films, epochs, side_px, only or ())))
    print(f"Written to {out}: {TABLE_NAME}, {CELLS_NAME}")
