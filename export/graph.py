"""Converts a trained network into one ONNX graph: grey bytes in, calibrated probabilities out."""

import torch
from onnx import ModelProto, numpy_helper
from torch import Tensor, nn

from service.model.predictor import INPUT_NAME, OUTPUT_NAMES
from training.errors import ExportError
from training.network.classifier import ChestXrayNetwork
from training.network.onnx_graph import to_onnx_graph

TEMPERATURE_NAME = "temperature"

# Until the temperature is fitted. Not 1, because the exporter would fold a division by one away, and with it the initializer.
PLACEHOLDER_TEMPERATURE = 2.0


class ServingGraph(nn.Module):
    """Everything between a grey image and the four outputs, so that no caller can normalise or calibrate differently.

    Its probabilities are valid only after `set_temperature`.
    """

    temperature: Tensor

    def __init__(self, network: ChestXrayNetwork) -> None:
        super().__init__()
        self.network = network
        self.register_buffer(TEMPERATURE_NAME, torch.tensor(PLACEHOLDER_TEMPERATURE))
        self.eval()

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """uint8 [N, S, S] -> probabilities [N, 3], logits [N, 3], embedding [N, C], features [N, C, h, w]."""
        features = self.network.features(self.network.normalise(image))
        embedding = features.mean(dim=(2, 3))
        logits = self.network.head(embedding)
        return torch.softmax(logits / self.temperature, dim=1), logits, embedding, features


def to_onnx(graph: ServingGraph, image_size_px: int) -> ModelProto:
    """Convert and check. The batch is dynamic, the image size fixed; the temperature stays an initializer of its own name.

    Raises ExportError if the converted graph is not valid ONNX.
    """
    return to_onnx_graph(graph, image_size_px, INPUT_NAME, OUTPUT_NAMES)


def set_temperature(graph: ServingGraph, model: ModelProto, temperature: float) -> None:
    """Write the fitted temperature into both forms of the graph.

    Patching the one scalar instead of converting again keeps every other byte of the graph that the temperature was fitted on.
    Raises ExportError if the converted graph has no such scalar.
    """
    graph.temperature.fill_(temperature)
    for initializer in model.graph.initializer:
        if initializer.name == TEMPERATURE_NAME:
            initializer.CopyFrom(numpy_helper.from_array(graph.temperature.numpy(), TEMPERATURE_NAME))
            return
    raise ExportError(f"The converted graph has no initializer {TEMPERATURE_NAME!r}: the exporter has folded it away.")
