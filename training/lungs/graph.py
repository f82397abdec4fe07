"""LungNetwork -> ONNX. The graph reads what a decoder gives, uint8 grey, and answers probabilities."""

from pathlib import Path

import onnx

from training.lungs.network import LungNetwork
from training.network.onnx_graph import to_onnx_graph

GRAPH_NAME = "lungs.onnx"


def write_graph(network: LungNetwork, side_px: int, path: Path) -> None:
    """Input `image`, uint8 [N, side_px, side_px]; output `lungs`, float32 [N, side_px / 2, side_px / 2], 0..1.

    Raises ExportError.
    """
    onnx.save_model(to_onnx_graph(network.eval(), side_px, "image", ["lungs"]), path)
