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

# Stages at 1/2, 1/4, 1/8 and 1/16 of the side; the one at 1/32 has most of the weights and adds nothing to an outline.
_STAGES = (0, 1, 2, 3)
_DECODER_CHANNELS = (64, 32, 24)


class LungNetwork(nn.Module):
    """uint8 grey [N, S, S] -> probability that a pixel lies in a lung, float [N, S / 2, S / 2]. S: a multiple of 16."""

    def __init__(self) -> None:
        super().__init__()
        encoder: Any = timm.create_model(_ENCODER, pretrained=False, features_only=True, out_indices=_STAGES)
        self.encoder: nn.Module = encoder
        half, quarter, eighth, sixteenth = encoder.feature_info.channels()
        channels = [sixteenth]
        self.steps = nn.ModuleList()
        for skip, width in zip((eighth, quarter, half), _DECODER_CHANNELS, strict=True):
            self.steps.append(_refine(channels[-1] + skip, width))
            channels.append(width)
        self.outline = nn.Conv2d(channels[-1], 1, 1)

    def forward(self, image: Tensor) -> Tensor:
        """Probabilities, for export."""
        return torch.sigmoid(self.logits(image))

    def logits(self, image: Tensor) -> Tensor:
        """Logits, for the loss."""
        grey = (image.float().unsqueeze(1) - 127.5) / 127.5
        half, quarter, eighth, values = self.encoder(grey.expand(-1, 3, -1, -1))
        for step, skip in zip(self.steps, (eighth, quarter, half), strict=True):
            enlarged = functional.interpolate(values, scale_factor=2.0, mode="bilinear", align_corners=False)
            values = step(torch.cat([enlarged, skip], dim=1))
        return self.outline(values).squeeze(1)


def load_encoder_weights(network: LungNetwork) -> None:
    """Fill the encoder with the packaged ImageNet weights, in place. Raises WeightsUnavailable."""
    whole = build_network(_ENCODER)
    load_backbone_weights(whole, ModelConfig(architecture=_ENCODER, weights="packaged"))
    weights = whole.backbone.get_submodule("model").state_dict()
    network.encoder.load_state_dict({name: weights[name] for name in network.encoder.state_dict()})


def _refine(channels: int, width: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for entering in (channels, width):
        layers += [
            nn.Conv2d(entering, entering, 3, padding=1, groups=entering, bias=False),
            nn.Conv2d(entering, width, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
        ]
    return nn.Sequential(*layers)
