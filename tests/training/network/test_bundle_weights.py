"""Training on from a released bundle: the same network, in evaluation mode exactly and in training mode nearly."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from service.model.predictor import INPUT_NAME
from tests.support.releases import RELEASED
from training.config import ModelConfig
from training.errors import WeightsUnavailable
from training.network.bundle_weights import settle_norms
from training.network.classifier import build_network
from training.network.pretrained import load_backbone_weights

pytestmark = pytest.mark.usefixtures("one_torch_thread")

LUNGS = "models/lung-fields-1.0.0"
ARCHITECTURE = "tf_efficientnet_lite0"


@pytest.fixture
def released():
    return RELEASED


def films(count, seed=0):
    """Smooth random pictures: noise alone would let every channel of a trained network see the same."""
    coarse = torch.rand(count, 1, 7, 7, generator=torch.Generator().manual_seed(seed))
    return (nn.functional.interpolate(coarse, 224, mode="bicubic").clamp(0, 1) * 255).squeeze(1).to(torch.uint8)


def warm(released):
    network = build_network(ARCHITECTURE)
    load_backbone_weights(network, ModelConfig(architecture=ARCHITECTURE, weights="bundle", weights_file=str(released)))
    return network.eval()


def logits_of_graph(released, images):
    import onnxruntime

    session = onnxruntime.InferenceSession(released / "model.onnx", providers=["CPUExecutionProvider"])
    return session.run(["logits"], {INPUT_NAME: images.numpy()})[0]


def test_a_network_filled_from_a_bundle_computes_what_the_bundle_does(released):
    images = films(4)
    with torch.no_grad():
        np.testing.assert_allclose(warm(released)(images)[0].numpy(), logits_of_graph(released, images), atol=1e-4)


def test_settled_norms_change_nothing_in_evaluation_mode_and_hold_the_statistics_of_their_inputs(released):
    network, images = warm(released), films(16)
    with torch.no_grad():
        before = network(images)[0]
        settle_norms(network, images.split(8))
        torch.testing.assert_close(network.eval()(images)[0], before, atol=1e-3, rtol=1e-3)
        seen = []
        last = [module for module in network.backbone.modules() if isinstance(module, nn.BatchNorm2d)][-1]
        last.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
        network(images)
    torch.testing.assert_close(last.running_mean, seen[0].mean(dim=(0, 2, 3)), atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(last.running_var, seen[0].var(dim=(0, 2, 3), correction=0), atol=1e-3, rtol=1e-2)


def test_only_settled_norms_let_training_begin_where_the_bundle_ended(released):
    images = films(16)
    expected = torch.from_numpy(logits_of_graph(released, images))
    changes = []
    for settles in (False, True):
        network = warm(released)
        if settles:
            settle_norms(network, [images])
        network.backbone.train()
        with torch.no_grad():
            changes.append(float((network(images)[0] - expected).abs().mean()))
    assert changes[1] < 1e-2 < changes[0]


@pytest.mark.parametrize("folder", [LUNGS, "models/absent", "tests"])
def test_what_is_no_bundle_is_refused_by_name(folder):
    with pytest.raises(WeightsUnavailable, match=f"{folder}.*weights_file"):
        warm(Path(folder))


@pytest.mark.parametrize(("architecture", "hidden"), [("resnet18", 256), (ARCHITECTURE, 64)])
def test_a_bundle_of_another_architecture_or_head_is_refused(released, architecture, hidden):
    network = build_network(architecture, hidden=hidden)
    with pytest.raises(WeightsUnavailable, match="another architecture or head"):
        load_backbone_weights(network, ModelConfig(architecture=architecture, weights="bundle", weights_file=str(released)))
