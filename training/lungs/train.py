"""Trains the lung segmenter: read films with masks, hold out a fifth, fit, score, write the graph."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx

from service.files import write_json
from training.errors import DatasetError
from training.lungs.films import hold_out, read_lung_films
from training.lungs.fit import dice_scores, fit
from training.lungs.network import LungNetwork, load_encoder_weights
from training.network.onnx_graph import to_onnx_graph

GRAPH_NAME = "lungs.onnx"
RESULT_NAME = "lungs.json"


def train_segmenter(data: Path, out: Path, *, side_px: int, epochs: int, seed: int) -> dict[str, Any]:
    """Write the graph and the result to `out`. Returns the result: settings, and mean and lowest Dice of the held-out films.

    data: folder with manifest.csv, whose columns are image and mask. side_px: side of the graph's input, a multiple of 16.
    seed: of the held-out films, the batches and their augmentation. Raises DatasetError, WeightsUnavailable or ExportError.
    """
    films, held_out = hold_out(read_lung_films(data, side_px), seed)
    if not held_out:
        raise DatasetError(f"{data} has {len(films)} films, too few to hold a fifth out; add some.")
    network = LungNetwork()
    load_encoder_weights(network)
    fit(network, films, epochs=epochs, seed=seed)
    scores = dice_scores(network, held_out)
    result = {
        "side_px": side_px,
        "films": len(films),
        "held_out": len(held_out),
        "epochs": epochs,
        "seed": seed,
        "dice_mean": round(float(np.mean(scores)), 4),
        "dice_lowest": round(float(np.min(scores)), 4),
    }
    out.mkdir(parents=True, exist_ok=True)
    write_graph(network, side_px, out / GRAPH_NAME)
    write_json(out / RESULT_NAME, result)
    return result


def write_graph(network: LungNetwork, side_px: int, path: Path) -> None:
    """Write the ONNX graph: `image`, uint8 [N, side_px, side_px] -> `lungs`, float32 [N, side_px / 2, side_px / 2] in 0..1.

    Raises ExportError.
    """
    onnx.save_model(to_onnx_graph(network.eval(), side_px, "image", ["lungs"]), path)
