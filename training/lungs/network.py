"""LungNetwork: a U-Net (Ronneberger et al., arXiv:1505.04597) on the first stages of EfficientNet-Lite0."""

from typing import Any

import timm
import torch
from torch import Tensor, nn
from torch.nn import functional

from training.config import ModelConfig
from training.network.classifier import build_network
from training.network.pretrained import load_backbone_weights

_ENCODER = "tf_efficientnet_lite0"

# Stages at 1/2, 1/4, 1/8 and 1/16 of the side. The one at 1/32 has most of the weights and adds nothing to an outline.
_STAGES = (0, 1, 2, 3)
_DECODER_CHANNELS = (64, 32, 24)  # at 1/8, 1/4 and 1/2 of the side


class LungNetwork(nn.Module):
    """uint8 grey [N, S, S] -> probability that a pixel lies in a lung, float [N, S / 2, S / 2]. S: a multiple of 16."""

    def __init__(self) -> None:
        super().__init__()
        encoder: Any = timm.create_model(_ENCODER, pretrained=False, features_only=True, out_indices=_STAGES)
        self.encoder: nn.Module = encoder
        half, quarter, eighth, channels = encoder.feature_info.channels()
        self.steps = nn.ModuleList()
        for skip, width in zip((eighth, quarter, half), _DECODER_CHANNELS, strict=True):
            self.steps.append(_refine(channels + skip, width))
            channels = width
        self.outline = nn.Conv2d(channels, 1, 1)

    def forward(self, image: Tensor) -> Tensor:
        """Probabilities, float [N, S / 2, S / 2]; what is exported."""
        return torch.sigmoid(self.logits(image))

    def logits(self, image: Tensor) -> Tensor:
        """Logits, float [N, S / 2, S / 2]; what the loss takes."""
        grey = (image.float().unsqueeze(1) - 127.5) / 127.5
        half, quarter, eighth, features = self.encoder(grey.expand(-1, 3, -1, -1))
        for step, skip in zip(self.steps, (eighth, quarter, half), strict=True):
            enlarged = functional.interpolate(features, scale_factor=2.0, mode="bilinear", align_corners=False)
            features = step(torch.cat([enlarged, skip], dim=1))
        return self.outline(features).squeeze(1)


def load_encoder_weights(network: LungNetwork) -> None:
    """Fill the encoder with the packaged ImageNet weights, in place. Raises WeightsUnavailable."""
    classifier = build_network(_ENCODER)
    load_backbone_weights(classifier, ModelConfig(architecture=_ENCODER, weights="packaged"))
    weights = classifier.backbone.get_submodule("model").state_dict()
    network.encoder.load_state_dict({name: weights[name] for name in network.encoder.state_dict()})


def _refine(channels_in: int, channels_out: int) -> nn.Sequential:
    """Two depthwise separable 3 x 3 convolutions, each with BatchNorm and ReLU."""
    layers: list[nn.Module] = []
    for channels in (channels_in, channels_out):
        layers += [
            nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False),
            nn.Conv2d(channels, channels_out, 1, bias=False),
            nn.BatchNorm2d(channels_out),
            nn.ReLU(),
        ]
    return nn.Sequential(*layers)
