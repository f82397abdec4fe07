"""`cxr lungs`: train the lung segmenter."""

from pathlib import Path
from typing import Annotated

import typer

from training.commands.options import ResultsFolder


def lungs(
    data: Annotated[Path, typer.Option(metavar="DIR", help="Folder with manifest.csv (columns image, mask).")],
    out: ResultsFolder = Path("runs/lungs"),
    side_px: Annotated[int, typer.Option(help="Side of the graph's input, a multiple of 16.")] = 160,
    epochs: Annotated[int, typer.Option(min=1, help="Epochs of training.")] = 45,
    seed: Annotated[int, typer.Option(help="Seed of the held-out fifth, the batches and their augmentation.")] = 0,
) -> None:
    """Train the segmenter that outlines the lungs of a film, and score it on a held-out fifth of the films.

    Example: cxr lungs --data data/lungs --out runs/lungs
    """
    from training.lungs.train import GRAPH_NAME, RESULT_NAME, train_segmenter

    result = train_segmenter(data, out, side_px=side_px, epochs=epochs, seed=seed)
    print(f"Dice on {result['held_out']} held-out films: mean {result['dice_mean']:.4f}, lowest {result['dice_lowest']:.4f}")
    print(f"Written to {out}: {GRAPH_NAME}, {RESULT_NAME}")
