"""The classifier of a site, on top of the released network: arrays in, probabilities out."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load

from service.film.arrays import NetworkValues
from service.model.errors import ProfileInvalid
from service.model.findings import FINDINGS


@dataclass(frozen=True)
class SiteHead:
    """The classifier of a site, on top of the released network; the tensors of the profile's head.safetensors.

    Its logits are scale * released logits + weights @ embedding of unit length + bias, its probabilities their softmax: a
    temperature is part of scale and weights.
    """

    scale: NetworkValues  # of the released logits before temperature, float32 [1]
    weights: NetworkValues  # float32 [3, C]
    bias: NetworkValues  # float32 [3]

    def logits(self, released: NetworkValues, embedding: NetworkValues) -> NetworkValues:
        """Logits of one film, float32 [3], or of several, [N, 3].

        released: the graph's logits, before temperature, float32 [3] or [N, 3].
        embedding: pooled features of the same run, float32 [C] or [N, C]. An all-zero one is not scaled.
        """
        length = np.sqrt(np.square(embedding).sum(axis=-1, keepdims=True))
        unit = embedding / np.maximum(length, np.finfo(np.float32).tiny)
        return np.asarray(self.scale * released + unit @ self.weights.T + self.bias, np.float32)

    def probabilities(self, released: NetworkValues, embedding: NetworkValues) -> NetworkValues:
        """Calibrated probabilities, float32 [3] or [N, 3], rows summing to 1; arguments as of `logits`."""
        logits = self.logits(released, embedding)
        exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
        return np.asarray(exponentials / exponentials.sum(axis=-1, keepdims=True), np.float32)


def read_head(path: Path) -> SiteHead:
    """Read a profile's head.safetensors. Raises ProfileInvalid, and OSError if the file cannot be read."""
    try:
        tensors = load(path.read_bytes())
    except (SafetensorError, KeyError) as fault:  # KeyError: a type of number that numpy lacks
        raise ProfileInvalid(f"{path} holds no tensors; commission the site again. {fault}") from fault
    features = tensors["weights"].shape[-1] if tensors.get("weights", np.empty(0)).ndim == 2 else 0
    shapes = {"scale": (1,), "weights": (len(FINDINGS), features), "bias": (len(FINDINGS),)}
    if {name: (tensor.dtype, tensor.shape) for name, tensor in tensors.items()} != {
        name: (np.dtype(np.float32), shape) for name, shape in shapes.items()
    }:
        found = {name: _shape(tensor) for name, tensor in sorted(tensors.items())}
        raise ProfileInvalid(
            f"{path} must hold scale [1], weights [{len(FINDINGS)}, C] and bias [{len(FINDINGS)}] of float32, not {found}; "
            "commission the site again."
        )
    if not all(np.isfinite(tensor).all() for tensor in tensors.values()):
        raise ProfileInvalid(f"{path} holds values that are no finite numbers; commission the site again.")
    return SiteHead(**tensors)


def _shape(values: np.ndarray[Any, Any]) -> str:
    return f"{values.dtype} {list(values.shape)}"
