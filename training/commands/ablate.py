"""`cxr ablate`: what each augmentation is worth."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from training.commands.options import DataFolder, Device


def ablate(
    data: DataFolder,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder of the results.")] = Path("runs/ablation"),
    config: Annotated[Path, typer.Option(metavar="FILE", help="Backbone, loss, optimiser and sampling of films.")] = Path(
        "training/configs/lite0.toml"
    ),
    seeds: Annotated[int, typer.Option(min=1, help="Seeds per row; raise the number later to add more.")] = 3,
    films: Annotated[int, typer.Option(min=1, help="Training films per seed, at most.")] = 600,
    views: Annotated[int, typer.Option(min=1, help="Augmented views of a film.")] = 5,
    epochs: Annotated[int, typer.Option(min=1, help="Epochs of the head's training.")] = 10,
    side_px: Annotated[int, typer.Option(help="Side of the model input.")] = 160,
    only: Annotated[
        list[str] | None, typer.Option(metavar="ROW", help="Compare this row with the baseline; repeatable. Default: all rows.")
    ] = None,
    device: Device = "",
    threads: Annotated[int, typer.Option(help="Threads of PyTorch; 0 leaves the number to it.")] = 0,
) -> None:
    """Compare augmentations one by one, on a frozen backbone. The same command continues: finished cells are kept.

    Example: cxr ablate --data DIR --only noise --only mixup
    """
    from training.config_file import load_config
    from training.search.ablate import CELLS_NAME, TABLE_NAME, AblationJob
    from training.search.ablate import ablate as run
    from training.search.ablation import ROWS

    unknown = sorted(set(only or ()) - set(ROWS))
    if unknown:
        raise typer.BadParameter(f"There is no row {', '.join(unknown)}; rows: {', '.join(ROWS)}.")
    base = load_config(config)
    base = replace(base, run=replace(base.run, device=device or base.run.device, threads=threads))
    print(run(AblationJob(base, data, out, seeds, films, views, epochs, side_px, only or ())))
    print(f"Written to {out}: {TABLE_NAME}, {CELLS_NAME}")
