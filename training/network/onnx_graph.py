"""PyTorch module -> checked ONNX graph without paths of this machine."""

from collections.abc import Sequence

import onnx
import torch
from onnx import ModelProto
from onnx_ir.passes.common import ClearMetadataAndDocStringPass
from torch import nn

from training.errors import ExportError

# PyTorch's exporter writes this opset without a conversion; ONNX Runtime reads it since 1.14.
OPSET = 18


def to_onnx_graph(module: nn.Module, size_px: int, input_name: str, output_names: Sequence[str]) -> ModelProto:
    """Convert a module in evaluation mode whose forward takes uint8 [N, size_px, size_px]; N is dynamic, the size fixed.

    input_name: also the name of forward's argument. Raises ExportError if the converted graph is not valid ONNX.
    """
    # Two images: the exporter would make a batch size of one constant.
    example = torch.zeros(2, size_px, size_px, dtype=torch.uint8)
    program = torch.onnx.export(
        module,
        (example,),
        dynamo=True,
        input_names=[input_name],
        output_names=list(output_names),
        dynamic_shapes={input_name: {0: torch.export.Dim("batch")}},
        opset_version=OPSET,
        verbose=False,
    )
    if program is None:
        raise ExportError("torch.onnx.export returned no program; this version of PyTorch has no dynamo exporter.")
    # The exporter writes a stack trace to every node, with paths of this machine.
    ClearMetadataAndDocStringPass()(program.model)
    model = program.model_proto
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as fault:
        raise ExportError(f"The converted graph is not valid ONNX: {fault}") from fault
    return model
