"""A bundle's ONNX graph as a differentiable PyTorch module: gradients of the released graph, without its checkpoint.

Only the operators that our exports contain (ONNX 1.23, operator set 18), in the forms that occur there. Knows no films.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import onnx
import torch
from onnx import NodeProto, numpy_helper
from torch import Tensor, nn
from torch.nn import functional

from training.errors import ExportError

Attributes = dict[str, Any]
_Operator = Callable[[Attributes, Sequence[Any]], Tensor]


class TorchGraph(nn.Module):
    """Runs a graph node by node. Weights are buffers without gradients; the input and all values between have gradients.

    model: with one input and static attributes, as `training.network.onnx_graph` writes it. Raises ExportError for an operator,
    or a form of one, that is not interpreted here.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        super().__init__()
        graph = model.graph
        self._input = graph.input[0].name
        self.output_names = tuple(output.name for output in graph.output)
        self._nodes = [(node, _operator(node), _attributes(node)) for node in graph.node]
        # Buffers may not have dots in their names, initializers do.
        self._slots = {initializer.name: f"value_{index}" for index, initializer in enumerate(graph.initializer)}
        for initializer in graph.initializer:
            self.register_buffer(self._slots[initializer.name], torch.from_numpy(numpy_helper.to_array(initializer).copy()))

    @classmethod
    def open(cls, path: Path) -> "TorchGraph":
        """Read a .onnx file. Raises ExportError."""
        return cls(onnx.load(path))

    def forward(self, image: Tensor, names: Sequence[str] | None = None) -> dict[str, Tensor]:
        """Run on grey levels 0..255, [N, S, S], uint8 or, for gradients, float. Returns the named values (default: outputs)."""
        wanted = self.output_names if names is None else tuple(names)
        values: dict[str, Any] = {name: self.get_buffer(slot) for name, slot in self._slots.items()}
        values[self._input] = image
        for node, operator, attributes in self._nodes:
            # An empty name stands for an optional input that is not given.
            values[node.output[0]] = operator(attributes, [values[name] if name else None for name in node.input])
        return {name: values[name] for name in wanted}

    @property
    def weight_names(self) -> tuple[str, ...]:
        """Kernels and matrices of the convolutions and linear layers, from the input to the output."""
        weights = [node.input[1] for node, _, _ in self._nodes if node.op_type in ("Conv", "Gemm")]
        return tuple(name for name in weights if name in self._slots)

    def weight(self, name: str) -> Tensor:
        """One of `weight_names`; writing into it changes the graph."""
        return self.get_buffer(self._slots[name])


def _attributes(node: NodeProto) -> Attributes:
    return {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}


def _operator(node: NodeProto) -> _Operator:
    if node.op_type not in _OPERATORS or len(node.output) != 1:
        raise ExportError(
            f"The graph holds the operator {node.op_type} ({len(node.output)} outputs), which "
            f"training.evaluation.judging.torch_graph does not interpret; it knows "
            f"{', '.join(sorted(_OPERATORS))}. Add it there, with a test against ONNX Runtime."
        )
    attributes = _attributes(node)
    expected = _ONLY_FORM.get(node.op_type, {})
    unusual = {name: value for name, value in attributes.items() if name in expected and value != expected[name]}
    if unusual:
        raise ExportError(
            f"{node.op_type} has {unusual} in this graph; training.evaluation.judging.torch_graph interprets only "
            f"{ {name: expected[name] for name in unusual} }. Extend it, with a test against ONNX Runtime."
        )
    return _OPERATORS[node.op_type]


def _convolution(attributes: Attributes, inputs: Sequence[Any]) -> Tensor:
    image, weight, *bias = inputs
    return functional.conv2d(
        _padded(image, attributes["pads"]),
        weight,
        bias[0] if bias else None,
        stride=attributes["strides"],
        dilation=attributes["dilations"],
        groups=attributes["group"],
    )


def _max_pool(attributes: Attributes, inputs: Sequence[Any]) -> Tensor:
    padded = _padded(inputs[0], attributes["pads"], float("-inf"))
    return functional.max_pool2d(padded, attributes["kernel_shape"], attributes["strides"])


def _average_pool(attributes: Attributes, inputs: Sequence[Any]) -> Tensor:
    return functional.avg_pool2d(inputs[0], attributes["kernel_shape"], attributes["strides"])


def _padded(image: Tensor, pads: Sequence[int], value: float = 0.0) -> Tensor:
    """ONNX names top, left, bottom, right; PyTorch left, right, top, bottom, and its convolutions pad both sides alike."""
    top, left, bottom, right = pads
    return functional.pad(image, (left, right, top, bottom), value=value) if any(pads) else image


def _batch_norm(attributes: Attributes, inputs: Sequence[Any]) -> Tensor:
    values, scale, shift, mean, variance = inputs
    return functional.batch_norm(values, mean, variance, scale, shift, training=False, eps=attributes["epsilon"])


def _linear(attributes: Attributes, inputs: Sequence[Any]) -> Tensor:
    return functional.linear(*inputs)


def _mean(attributes: Attributes, inputs: Sequence[Any]) -> Tensor:
    values, axes = inputs
    return values.mean(dim=axes.tolist(), keepdim=bool(attributes["keepdims"]))


def _unsqueeze(attributes: Attributes, inputs: Sequence[Any]) -> Tensor:
    (axis,) = inputs[1].tolist()
    return inputs[0].unsqueeze(axis)


_OPERATORS: dict[str, _Operator] = {
    "Add": lambda _, inputs: inputs[0] + inputs[1],
    "AveragePool": _average_pool,
    "BatchNormalization": _batch_norm,
    "Cast": lambda _, inputs: inputs[0].float(),
    "Clip": lambda _, inputs: torch.clamp(*inputs),
    "Concat": lambda attributes, inputs: torch.cat(list(inputs), dim=attributes["axis"]),
    "Conv": _convolution,
    "Div": lambda _, inputs: inputs[0] / inputs[1],
    "Gemm": _linear,
    "MaxPool": _max_pool,
    "Mul": lambda _, inputs: inputs[0] * inputs[1],
    "ReduceMean": _mean,
    "Relu": lambda _, inputs: torch.relu(inputs[0]),
    "Sigmoid": lambda _, inputs: torch.sigmoid(inputs[0]),
    "Softmax": lambda attributes, inputs: torch.softmax(inputs[0], dim=attributes["axis"]),
    "Sub": lambda _, inputs: inputs[0] - inputs[1],
    "Unsqueeze": _unsqueeze,
}

# Of an operator with several forms, the one that our exports use.
_POOLING = {"auto_pad": b"NOTSET", "ceil_mode": 0}
_ONLY_FORM: dict[str, Attributes] = {
    "AveragePool": {**_POOLING, "pads": [0, 0, 0, 0]},
    "Cast": {"to": onnx.TensorProto.FLOAT},
    "Conv": {"auto_pad": b"NOTSET"},
    "Gemm": {"alpha": 1.0, "beta": 1.0, "transA": 0, "transB": 1},
    "MaxPool": {**_POOLING, "dilations": [1, 1], "storage_order": 0},
    "ReduceMean": {"noop_with_empty_axes": 0},
}
