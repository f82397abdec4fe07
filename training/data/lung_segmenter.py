"""LungSegmenter: outlines the lungs of a film with an ONNX graph that `cxr lungs` trains."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime as ort

from service.film.arrays import GreyPixels, Mask
from service.film.preprocessing import resize_stretched
from service.model.errors import BundleNotFound, ManifestInvalid

# Smallest share of the film that a region must cover to count as a lung.
_SMALLEST_SHARE = 0.02


class LungSegmenter:
    """Outlines lungs. Several threads may call it at once."""

    def __init__(self, session: ort.InferenceSession, path: Path) -> None:
        self._session, self._path = session, path
        self._side_px = int(session.get_inputs()[0].shape[1])

    @classmethod
    def open(cls, path: Path) -> "LungSegmenter":
        """Open a graph. Raises BundleNotFound or ManifestInvalid."""
        if not path.is_file():
            raise BundleNotFound(f"No lung segmenter at {path}; train one with `cxr lungs --data DIR`.")
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as fault:  # ONNX Runtime's errors have no common root of their own
            raise ManifestInvalid(f"{path} is not a graph that ONNX Runtime can run; train the segmenter again.") from fault
        return cls(session, path)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the path alone: a session cannot be pickled, so spawned loader processes open the graph again."""
        return (LungSegmenter.open, (self._path,))

    def outline(self, film: GreyPixels) -> Mask:
        """uint8 [H, W] -> lungs, bool [H, W]: the two largest regions. All False if none is large enough."""
        (probabilities,) = self._session.run(["lungs"], {"image": resize_stretched(film, self._side_px)[None]})
        found = tidy(np.asarray(probabilities[0]) > 0.5)
        return cv2.resize(found.astype(np.float32), film.shape[::-1], interpolation=cv2.INTER_LINEAR) > 0.5


def tidy(found: Mask) -> Mask:
    """Keep the two largest connected regions of bool [s, s], each at least a fiftieth of it, and fill their holes."""
    count, regions, statistics, _ = cv2.connectedComponentsWithStats(found.astype(np.uint8), connectivity=4)
    areas = statistics[1:count, cv2.CC_STAT_AREA]
    kept = [1 + index for index in np.argsort(areas)[::-1][:2] if areas[index] >= _SMALLEST_SHARE * found.size]
    lungs = np.isin(regions, kept).astype(np.uint8)
    outlines, _ = cv2.findContours(lungs, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return cv2.drawContours(np.zeros_like(lungs), outlines, -1, 1, cv2.FILLED).astype(bool)
