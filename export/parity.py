"""Compares the converted graph, run by the service's own predictor, with the PyTorch network, output by output."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnxruntime
import torch
from tqdm import tqdm

from export.graph import ServingGraph
from service.film.arrays import GreyPixels
from service.model.predictor import OUTPUT_NAMES, Predictor
from training.errors import ParityFailed

# Several sizes, an odd one among them, show a batch size that was baked into the graph.
BATCH_SIZES = (1, 2, 7, 16)

# Largest gap of probabilities. Thresholds are rounded to 1e-4, so that a smaller gap changes hardly a decision. A trained
# EfficientNet-Lite0 has 3e-6 on films, random weights of four architectures up to 1e-5.
PROBABILITY_TOLERANCE = 1e-4

# Largest gap of the other outputs, for values up to 1 and in proportion for larger ones: ten times what another order of
# summation makes on the same networks (3e-5). A lost normalisation or another pooling makes more than 1e-2.
ACTIVATION_TOLERANCE = 3e-4

TOLERANCES = {
    "probabilities": PROBABILITY_TOLERANCE,
    "logits": ACTIVATION_TOLERANCE,
    "embedding": ACTIVATION_TOLERANCE,
    "features": ACTIVATION_TOLERANCE,
}


def check_parity(graph: ServingGraph, predictor: Predictor, films: GreyPixels) -> dict[str, Any]:
    """Compare all outputs on films and on noise, which reaches activations that films do not, at every batch size.

    films: real model inputs, uint8 [N, S, S]; each batch takes the next ones, starting over at the end.
    Returns the content of parity.json: for "real" and "random" images the gaps of each output, as `_gaps` gives them; batch
    sizes, number of images of each kind, and versions. Raises ParityFailed.
    """
    count = sum(BATCH_SIZES)
    real = films[np.arange(count) % len(films)]
    random = np.random.default_rng(0).integers(0, 256, real.shape, dtype=np.uint8)
    parity = {
        kind: _gaps(graph, predictor, np.split(images, np.cumsum(BATCH_SIZES)[:-1]), kind)
        for kind, images in (("real", real), ("random", random))
    }
    failed = [
        f"{name} of {kind} images by {output['max_gap']:.2e} (allowed {output['allowed']:.2e})"
        for kind, outputs in parity.items()
        for name, output in outputs.items()
        if not output["max_gap"] <= output["allowed"]  # written so that NaN fails
    ]
    if failed:
        raise ParityFailed(
            f"ONNX Runtime {onnxruntime.__version__} differs from PyTorch {torch.__version__} in {', '.join(failed)}; "
            "the graph must not be released: try another version of the exporter, and report the operator that differs."
        )
    return {
        **parity,
        "batch_sizes": BATCH_SIZES,
        "images": count,
        "torch": str(torch.__version__),
        "onnxruntime": onnxruntime.__version__,
    }


def _gaps(graph: ServingGraph, predictor: Predictor, batches: Sequence[GreyPixels], kind: str) -> dict[str, dict[str, float]]:
    """Of each output, the largest absolute gap, PyTorch's largest absolute value, and the largest gap that passes."""
    gaps = dict.fromkeys(OUTPUT_NAMES, 0.0)
    magnitudes = dict.fromkeys(OUTPUT_NAMES, 0.0)
    for images in tqdm(batches, desc=f"comparing PyTorch with ONNX Runtime, {kind} images", unit="batch"):
        with torch.inference_mode():
            expected = [output.numpy() for output in graph(torch.from_numpy(images))]
        actual = predictor.predict(images, OUTPUT_NAMES)
        for name, reference in zip(OUTPUT_NAMES, expected, strict=True):
            # np.maximum keeps NaN, which Python's max may drop.
            gaps[name] = float(np.maximum(gaps[name], np.abs(actual[name] - reference).max()))
            magnitudes[name] = float(np.maximum(magnitudes[name], np.abs(reference).max()))
    return {
        name: {
            "max_gap": gaps[name],
            "magnitude": magnitudes[name],
            "allowed": TOLERANCES[name] * max(1.0, magnitudes[name]),
        }
        for name in OUTPUT_NAMES
    }
