"""LungNetwork -> ONNX. The graph reads what a decoder gives, uint8 grey, and answers probabilities."""

from pathlib import Path

import torch

from service.contract.errors import ExportError
from training.lungs.network import LungNetwork

GRAPH_NAME = "lungs.onnx"


def write_graph(network: LungNetwork, side_px: int, path: Path) -> None:
    """Input `image`, uint8 [N, side_px, side_px]; output `lungs`, float32 [N, side_px / 2, side_px / 2], 0..1."""
    example = torch.zeros(2, side_px, side_px, dtype=torch.uint8)
    program = torch.onnx.export(
        network.eval(),
        (example,),
        dynamo=True,
        input_names=["image"],
        output_names=["lungs"],
        dynamic_shapes=({0: torch.export.Dim("batch", min=1)},),
        external_data=False,
        verbose=False,
    )
    if program is None:
        raise ExportError("torch.onnx.export returned no program; this version of PyTorch has no dynamo exporter.")
    program.save(str(path))
