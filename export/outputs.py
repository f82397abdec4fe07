"""Runs a bundle's graph over many films, with progress."""

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from service.model.predictor import Outputs, Predictor

# Large enough to keep a session busy, small enough for the feature maps of any architecture to fit in memory.
BATCH_SIZE = 16


def compute(predictor: Predictor, images: npt.NDArray[np.uint8], *names: str) -> Outputs:
    """The named outputs of the graph, each float32 [N, ...]; see `Predictor.predict`. images: uint8 [N, S, S], N >= 1."""
    batches = tqdm(range(0, len(images), BATCH_SIZE), desc=f"computing {', '.join(names)}", unit="batch")
    runs = [predictor.predict(images[start : start + BATCH_SIZE], names) for start in batches]
    return {name: np.concatenate([run[name] for run in runs]) for name in names}
