"""Trains the lung segmenter: read films with masks, hold out a fifth, fit, score, write the graph."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from training.errors import DatasetError
from training.lungs.films import hold_out, read_lung_films
from training.lungs.fit import dice_scores, fit
from training.lungs.network import LungNetwork, load_encoder_weights
from training.network.onnx_graph import to_onnx_graph

GRAPH_NAME = "lungs.onnx"
RESULT_NAME = "lungs.json"


@dataclass(frozen=True)
class LungJob:
    """What to train on, and how long.

    data: folder with manifest.csv, whose columns are image and mask.
    out: folder of the results.
    side_px: of the graph's input, a multiple of 16.
    epochs: of training.
    seed: of the held-out fifth, the batches and their augmentation.
    pretrained: whether the encoder begins with ImageNet's weights, or with random ones.
    """

    data: Path
    out: Path
    side_px: int = 160
    epochs: int = 45
    seed: int = 0
    pretrained: bool = True


def train_segmenter(job: LungJob) -> dict[str, Any]:
    """Write graph and result to job.out; returns the result: settings, and the Dice scores of the held-out films.

    Raises DatasetError, WeightsUnavailable or ExportError.
    """
    films, held_out = hold_out(read_lung_films(job.data, job.side_px), job.seed)
    if not held_out:
        raise DatasetError(f"{job.data} has {len(films)} films, too few to hold a fifth out; add some.")
    network = LungNetwork()
    if job.pretrained:
        load_encoder_weights(network)
    fit(network, films, epochs=job.epochs, seed=job.seed)
    scores = dice_scores(network, held_out)
    result = {
        "side_px": job.side_px,
        "films": len(films),
        "held_out": len(held_out),
        "epochs": job.epochs,
        "seed": job.seed,
        "dice_mean": round(float(np.mean(scores)), 4),
        "dice_lowest": round(float(np.min(scores)), 4),
    }
    job.out.mkdir(parents=True, exist_ok=True)
    write_graph(network, job.side_px, job.out / GRAPH_NAME)
    (job.out / RESULT_NAME).write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    return result


def write_graph(network: LungNetwork, side_px: int, path: Path) -> None:
    """Input `image`, uint8 [N, side_px, side_px]; output `lungs`, float32 [N, side_px / 2, side_px / 2], 0..1.

    Raises ExportError.
    """
    onnx.save_model(to_onnx_graph(network.eval(), side_px, "image", ["lungs"]), path)
