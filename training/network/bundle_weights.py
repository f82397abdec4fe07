"""Weights of a released bundle -> a network that continues training: backbone from the graph, head from its safetensors.

The exporter folds each BatchNorm into the convolution before it. Here each BatchNorm gets statistics of its inputs again, and a
scale and shift that undo them. In evaluation mode the network then computes what the bundle does; in training mode, where each
batch has its own statistics, it computes nearly the same.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import onnx
import torch
from google.protobuf.message import DecodeError
from onnx import numpy_helper
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from service.model.manifest import GRAPH_NAME, HEAD_NAME
from training.errors import WeightsUnavailable
from training.network.classifier import ChestXrayNetwork

# Prefix of the backbone's tensors, as export.graph.ServingGraph names them.
_PREFIX = "network.backbone."

# Keeps a constant channel from being divided by zero.
_LEAST_VARIANCE = 1e-6


def load_bundle(network: ChestXrayNetwork, bundle: Path) -> None:
    """Fill backbone and head in place. Call `settle_norms` before training.

    Raises WeightsUnavailable if there is no bundle, or if its architecture or head differs.
    """
    try:
        graph = onnx.load(bundle / GRAPH_NAME).graph
        head = load_file(bundle / HEAD_NAME)
    except (OSError, DecodeError, SafetensorError) as fault:
        raise WeightsUnavailable(
            f"{bundle} cannot be read as a bundle ({fault}); set model.weights_file to its folder."
        ) from fault
    weights = {each.name: torch.from_numpy(numpy_helper.to_array(each).copy()) for each in graph.initializer}
    folded = {node.input[1]: [weights[name] for name in node.input[1:]] for node in graph.node if node.op_type == "Conv"}
    if any(node.op_type == "BatchNormalization" and node.input[1].startswith(_PREFIX) for node in graph.node):
        raise WeightsUnavailable(
            f"{bundle} has norms that do not follow a convolution, so training cannot continue from it; begin with its run's "
            'checkpoint (model.weights = "checkpoint").'
        )
    layers = {f"{_PREFIX}{name}.weight": (convolution, norm) for name, convolution, norm in _layers(network.backbone)}
    wanted_head = {name: tensor.shape for name, tensor in network.head.state_dict().items() if name in head}
    if (
        layers.keys() != folded.keys()
        or any(layer.weight.shape != folded[name][0].shape for name, (layer, _) in layers.items())
        or wanted_head != {name: tensor.shape for name, tensor in head.items()}
    ):
        raise WeightsUnavailable(f"{bundle} is of another architecture or head; check model.architecture and model.hidden.")
    network.head.load_state_dict(head, strict=False)
    with torch.no_grad():
        for name, (convolution, norm) in layers.items():
            weight, *found = folded[name]
            # The exporter leaves out a bias of zeros.
            bias = found[0] if found else torch.zeros(len(weight))
            convolution.weight.copy_(weight)
            if norm is not None:
                norm.running_mean.zero_()
                norm.running_var.fill_(1.0 - norm.eps)
                norm.weight.fill_(1.0)
                norm.bias.copy_(bias)
            elif convolution.bias is not None:
                convolution.bias.copy_(bias)


@torch.no_grad()
def settle_norms(network: ChestXrayNetwork, images: Iterable[Tensor]) -> None:
    """Give each BatchNorm of the backbone the mean and variance of its inputs, and the scale and shift that undo them.

    images: batches of training films as model input, uint8 [B, S, S]. The output in evaluation mode does not change.
    """
    norms = [norm for _, _, norm in _layers(network.backbone) if norm is not None]
    moments: dict[nn.Module, list[tuple[Tensor, Tensor]]] = {norm: [] for norm in norms}

    def note(norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        moments[norm].append((inputs[0].mean(dim=(0, 2, 3)), (inputs[0] ** 2).mean(dim=(0, 2, 3))))

    hooks = [norm.register_forward_pre_hook(note) for norm in norms]
    network.eval()
    for batch in images:
        network(batch)
    for hook in hooks:
        hook.remove()
    for norm in norms:
        mean, square = (torch.stack(each).mean(dim=0) for each in zip(*moments[norm], strict=True))
        variance = (square - mean**2).clamp(min=_LEAST_VARIANCE)
        # The norm computes y = scale * x + shift; express that with the new statistics.
        scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
        shift = norm.bias - scale * norm.running_mean
        norm.weight.copy_(scale * torch.sqrt(variance + norm.eps))
        norm.bias.copy_(shift + scale * mean)
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(variance)


def _layers(backbone: nn.Module) -> list[tuple[str, nn.Conv2d, Any]]:
    """(name, convolution, the BatchNorm right after it or None), in order of definition, which in timm is order of use."""
    layers = [(name, module) for name, module in backbone.named_modules() if isinstance(module, nn.Conv2d | nn.BatchNorm2d)]
    followers = [module for _, module in layers[1:]] + [None]
    return [
        (name, layer, follower if isinstance(follower, nn.BatchNorm2d) else None)
        for (name, layer), follower in zip(layers, followers, strict=True)
        if isinstance(layer, nn.Conv2d)
    ]
