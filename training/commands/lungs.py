"""`cxr lungs`: train the lung segmenter."""

from pathlib import Path
from typing import Annotated, Literal

import typer


def lungs(
    data: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder with manifest.csv, whose columns image and mask name files.")
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder of the results.")] = Path("runs/lungs"),
    side_px: Annotated[int, typer.Option(help="Side of the graph's input, a multiple of 16.")] = 160,
    epochs: Annotated[int, typer.Option(min=1, help="Epochs of training.")] = 45,
    seed: Annotated[int, typer.Option(help="Of the held-out fifth, the batches and their augmentation.")] = 0,
    weights: Annotated[
        Literal["packaged", "none"], typer.Option(help="Of the encoder: ImageNet's or random ones.")
    ] = "packaged",
) -> None:
    """Train the segmenter that outlines the lungs of a film, and score it on a held-out fifth of the films.

    Example: cxr lungs --data DIR --out runs/lungs
    """
    from training.lungs.train import GRAPH_NAME, RESULT_NAME, LungJob, train_segmenter

    result = train_segmenter(LungJob(data, out, side_px, epochs, seed, pretrained=weights == "packaged"))
    print(f"Dice on {result['held_out']} held-out films: mean {result['dice_mean']:.4f}, lowest {result['dice_lowest']:.4f}")
    print(f"Written to {out}: {GRAPH_NAME}, {RESULT_NAME}")
