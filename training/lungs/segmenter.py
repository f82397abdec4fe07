"""Where the lungs are in a film: the segmenter's graph run by ONNX Runtime, and its outline made tidy."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from service.film.preprocessing import resize_stretched
from service.model.errors import BundleNotFound, ManifestInvalid
from training.lungs.films import Image

# Lungs are the two largest regions; anything smaller than this share of the film is a speck beside them.
_SMALLEST_SHARE = 0.02


class LungSegmenter:
    """Outlines lung fields. May be called by several threads at once."""

    def __init__(self, session: ort.InferenceSession, path: Path) -> None:
        self._session, self._path = session, path
        self._side_px = int(session.get_inputs()[0].shape[1])

    @classmethod
    def open(cls, path: Path) -> "LungSegmenter":
        """Read a graph as training.lungs writes it. Raises BundleNotFound or ManifestInvalid."""
        if not path.is_file():
            raise BundleNotFound(f"No lung segmenter at {path}; train one with python -m training.lungs.train --data DIR.")
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as fault:  # ONNX Runtime's errors have no common root of their own
            raise ManifestInvalid(f"{path} is not a graph that ONNX Runtime can run; train the segmenter again.") from fault
        return cls(session, path)

    def __reduce__(self) -> tuple[Any, ...]:
        """Loader processes that are not forked open the graph again: a session cannot be sent to them."""
        return (LungSegmenter.open, (self._path,))

    def probability(self, film: Image) -> npt.NDArray[np.float32]:
        """uint8 [H, W], any size -> probability that a pixel lies in a lung, float32 [s, s], s half the graph's side."""
        (values,) = self._session.run(["lungs"], {"image": resize_stretched(film, self._side_px)[None]})
        return np.asarray(values[0], dtype=np.float32)

    def outline(self, film: Image) -> npt.NDArray[np.bool_]:
        """uint8 [H, W] -> lungs, bool [H, W]: the two largest regions. All False where none is large enough."""
        found = tidy(self.probability(film) > 0.5)
        return cv2.resize(found.astype(np.float32), film.shape[::-1], interpolation=cv2.INTER_LINEAR) > 0.5


def tidy(found: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Keep the two largest connected regions of bool [s, s] that cover at least a fiftieth of it, holes filled."""
    count, regions, statistics, _ = cv2.connectedComponentsWithStats(found.astype(np.uint8), connectivity=4)
    areas = statistics[1:count, cv2.CC_STAT_AREA]
    kept = [1 + index for index in np.argsort(areas)[::-1][:2] if areas[index] >= _SMALLEST_SHARE * found.size]
    lungs = np.isin(regions, kept).astype(np.uint8)
    outlines, _ = cv2.findContours(lungs, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return cv2.drawContours(np.zeros_like(lungs), outlines, -1, 1, cv2.FILLED).astype(bool)
