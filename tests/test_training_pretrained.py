"""Where backbone weights come from, and what is said when they cannot be had."""

import socket
import time
from pathlib import Path

import pytest
import torch

from service.contract.errors import WeightsUnavailable
from training import pretrained
from training.config import ModelConfig
from training.network import build_network
from training.pretrained import load_backbone_weights


def test_packaged_weights_fill_the_whole_lite0_backbone_and_see_like_imagenet():
    network = build_network("tf_efficientnet_lite0", hidden=8)
    before = {name: tensor.clone() for name, tensor in network.backbone.named_parameters()}
    load_backbone_weights(network, ModelConfig(architecture="tf_efficientnet_lite0", weights="packaged"))
    assert all(not torch.equal(tensor, before[name]) for name, tensor in network.backbone.named_parameters())
    assert network.mean.flatten().tolist() == network.std.flatten().tolist() == [0.5, 0.5, 0.5]
    # Wrongly assigned tensors make activations vanish or explode; trained ones keep them in range.
    network.eval()
    with torch.no_grad():
        features = network.features(network.normalise(torch.randint(0, 256, (1, 224, 224), dtype=torch.uint8)))
    assert 0.05 < features.mean() < 5


def test_packaged_weights_are_refused_for_another_architecture():
    network = build_network("resnet50", hidden=8)
    with pytest.raises(WeightsUnavailable, match="tf_efficientnet_lite0 only"):
        load_backbone_weights(network, ModelConfig(architecture="resnet50", weights="packaged"))


def test_weights_from_a_file_are_loaded_and_misfits_are_named(tmp_path):
    source, target = (build_network("tf_efficientnet_lite0", hidden=8) for _ in range(2))
    path = tmp_path / "weights.pth"
    torch.save(source.backbone.get_submodule("model").state_dict(), path)
    load_backbone_weights(target, ModelConfig(weights="file", weights_file=str(path)))
    for name, tensor in source.backbone.state_dict().items():
        torch.testing.assert_close(target.backbone.state_dict()[name], tensor)
    with pytest.raises(WeightsUnavailable, match="does not fit"):
        load_backbone_weights(build_network("resnet50", hidden=8), ModelConfig(weights="file", weights_file=str(path)))
    with pytest.raises(WeightsUnavailable, match="No weights file"):
        load_backbone_weights(target, ModelConfig(weights="file", weights_file=str(tmp_path / "absent.pth")))


def test_an_unreachable_hub_fails_at_once_and_names_the_other_ways(monkeypatch):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{closed.getsockname()[1]}"
    monkeypatch.setattr(pretrained.hub_constants, "ENDPOINT", address)
    started = time.monotonic()
    with pytest.raises(WeightsUnavailable, match=r"packaged.*file.*none"):
        load_backbone_weights(
            build_network("mobilenetv3_small_050", hidden=8), ModelConfig(architecture="mobilenetv3_small_050")
        )
    assert time.monotonic() - started < 20


def test_none_leaves_the_random_weights_alone():
    network = build_network("tf_efficientnet_lite0", hidden=8)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    load_backbone_weights(network, ModelConfig(weights="none"))
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


@pytest.mark.parametrize("name", ["weights.safetensors", "weights.pth"])
def test_a_damaged_weights_file_is_named_with_what_it_must_be(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(b"not weights at all, but long enough to be read as a header")
    with pytest.raises(WeightsUnavailable, match=rf"{name} cannot be read as weights"):
        load_backbone_weights(build_network("tf_efficientnet_lite0"), ModelConfig(weights="file", weights_file=str(path)))


def test_a_weights_file_with_code_inside_is_refused(tmp_path):
    path = tmp_path / "weights.pth"
    torch.save({"state_dict": Path}, path)
    with pytest.raises(WeightsUnavailable, match="without any other objects"):
        load_backbone_weights(build_network("tf_efficientnet_lite0"), ModelConfig(weights="file", weights_file=str(path)))
