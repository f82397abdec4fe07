"""Train the lung-field segmenter: python -m training.lungs.train --data DIR --out runs/lungs.

main() is the table of contents: read, hold out, fit, score, write.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from service.film.errors import ChestXrayError
from training.errors import DatasetError
from training.lungs.films import hold_out, read_lung_films
from training.lungs.fit import dice_scores, fit
from training.lungs.graph import GRAPH_NAME, write_graph
from training.lungs.network import LungNetwork, load_encoder_weights

RESULT_NAME = "lungs.json"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one training. Returns 0, or 1 with a message on stderr."""
    arguments = _parse(argv)
    try:
        result = train(arguments)
    except (ChestXrayError, OSError) as fault:
        print(f"{type(fault).__name__}: {fault}", file=sys.stderr)
        return 1
    print(f"Dice on {result['held_out']} held-out films: mean {result['dice_mean']:.4f}, lowest {result['dice_lowest']:.4f}")
    print(f"Written to {arguments.out}: {GRAPH_NAME}, {RESULT_NAME}")
    return 0


def train(arguments: argparse.Namespace) -> dict[str, Any]:
    """Train, score on the held-out fifth, and write graph and result; returns the result."""
    films, held_out = hold_out(read_lung_films(arguments.data, arguments.side_px), arguments.seed)
    if not held_out:
        raise DatasetError(f"{arguments.data} has {len(films)} films, too few to hold a fifth out; add some.")
    network = LungNetwork()
    if arguments.weights == "packaged":
        load_encoder_weights(network)
    fit(network, films, epochs=arguments.epochs, seed=arguments.seed)
    scores = dice_scores(network, held_out)
    result = {
        "side_px": arguments.side_px,
        "films": len(films),
        "held_out": len(held_out),
        "epochs": arguments.epochs,
        "seed": arguments.seed,
        "dice_mean": round(float(np.mean(scores)), 4),
        "dice_lowest": round(float(np.min(scores)), 4),
    }
    arguments.out.mkdir(parents=True, exist_ok=True)
    write_graph(network, arguments.side_px, arguments.out / GRAPH_NAME)
    (arguments.out / RESULT_NAME).write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    return result


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m training.lungs.train", description="Train the lung-field segmenter.")
    parser.add_argument("--data", type=Path, required=True, help="folder with manifest.csv, whose columns are image and mask")
    parser.add_argument("--out", type=Path, default=Path("runs/lungs"), help="folder of the results (default: %(default)s)")
    parser.add_argument("--side-px", type=int, default=160, help="of the graph's input, a multiple of 16")
    parser.add_argument("--epochs", type=int, default=45)
    parser.add_argument("--seed", type=int, default=0, help="of the held-out fifth, the batches and their augmentation")
    parser.add_argument(
        "--weights",
        choices=("packaged", "none"),
        default="packaged",
        help="of the encoder: ImageNet's or random ones",
    )
    return parser.parse_args(argv)


if __name__ == "__main__":
    raise SystemExit(main())
