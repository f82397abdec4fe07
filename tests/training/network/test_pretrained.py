"""Where backbone weights come from, and what is said when they cannot be had."""

import re
import socket
import time
from pathlib import Path

import pytest
import torch

from training.config import ModelConfig
from training.errors import WeightsUnavailable
from training.network import pretrained
from training.network.checkpoint import REQUIRED_KEYS, save_checkpoint
from training.network.classifier import build_network
from training.network.pretrained import load_backbone_weights


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
    with pytest.raises(WeightsUnavailable, match="holds only tf_efficientnet_lite0"):
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


def test_a_checkpoint_fills_backbone_and_head_and_misfits_are_named(tmp_path):
    source, target = (build_network("mobilenetv3_small_050", hidden=8) for _ in range(2))
    path = tmp_path / "best_model.pt"
    save_checkpoint(path, dict.fromkeys(REQUIRED_KEYS, 0) | {"model_state_dict": source.state_dict()})
    config = ModelConfig(weights="checkpoint", weights_file=str(path))
    load_backbone_weights(target, config)
    for name, tensor in source.state_dict().items():
        torch.testing.assert_close(target.state_dict()[name], tensor)
    with pytest.raises(WeightsUnavailable, match="another architecture or head"):
        load_backbone_weights(build_network("mobilenetv3_small_050", hidden=16), config)


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


def weights_file_refusal(path):
    with pytest.raises(WeightsUnavailable) as refusal:
        load_backbone_weights(build_network("tf_efficientnet_lite0"), ModelConfig(weights="file", weights_file=str(path)))
    return str(refusal.value)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("weights.safetensors", b"not weights at all, but long enough to be a header", "SafetensorError: .*header too large.*"),
        ("weights.pth", b"not weights at all, but long enough to be a header", "UnpicklingError"),
        ("weights.pth", b"PK\x03\x04 a truncated archive", "RuntimeError: PytorchStreamReader failed.*"),
        ("weights.pth", b"", "EOFError"),
        ("weights.pth", b"\x80\x02a", "IndexError: pop from empty list"),
    ],
)
def test_a_damaged_weights_file_is_named_with_the_reason_and_what_it_must_be(tmp_path, name, content, reason):
    path = tmp_path / name
    path.write_bytes(content)
    refusal = weights_file_refusal(path)
    assert re.search(rf"{re.escape(str(path))} cannot be read as weights \({reason}\): it must be", refusal)


def test_a_weights_file_with_code_inside_is_refused_without_advice_to_run_it(tmp_path):
    path = tmp_path / "weights.pth"
    torch.save({"state_dict": Path}, path)
    refusal = weights_file_refusal(path)
    assert "without any other objects" in refusal and "trust" not in refusal and "weights_only" not in refusal


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ([torch.ones(1)], "not a dictionary of tensors by name"),
        ({"state_dict": torch.ones(1)}, "not a dictionary of tensors by name"),
        ({"conv_stem.weight": 3}, "does not fit the backbone"),
    ],
)
def test_a_weights_file_without_tensors_by_name_is_refused_by_what_it_holds(tmp_path, content, complaint):
    path = tmp_path / "weights.pth"
    torch.save(content, path)
    assert complaint in weights_file_refusal(path)
