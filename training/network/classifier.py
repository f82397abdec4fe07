"""build_network(): a timm backbone and the classifier head of REPORT Table 11."""

from typing import Any

import timm
import torch
from torch import Tensor, nn

from service.model.manifest import HeadSpec
from training.errors import ConfigError


class Head(nn.Module):
    """BatchNorm -> Dropout -> Linear -> ReLU -> BatchNorm -> Dropout/2 -> Linear, on pooled features [N, features].

    Returns logits [N, classes]. `service.model.grad_cam` rebuilds the same stack from these tensor names.
    """

    def __init__(self, features: int, hidden: int, classes: int, dropout: float) -> None:
        super().__init__()
        self.norm_in = nn.BatchNorm1d(features)
        self.dropout_in = nn.Dropout(dropout)
        self.hidden = nn.Linear(features, hidden)
        self.norm_hidden = nn.BatchNorm1d(hidden)
        self.dropout_hidden = nn.Dropout(dropout / 2)
        self.classifier = nn.Linear(hidden, classes)

    def forward(self, pooled: Tensor) -> Tensor:
        """Pooled features [N, features] -> logits [N, classes]."""
        hidden = torch.relu(self.hidden(self.dropout_in(self.norm_in(pooled))))
        return self.classifier(self.dropout_hidden(self.norm_hidden(hidden)))

    @property
    def spec(self) -> HeadSpec:
        """Sizes of the head, for the manifest."""
        return HeadSpec(
            features=self.hidden.in_features,
            hidden=self.hidden.out_features,
            classes=self.classifier.out_features,
            norm_eps=self.norm_in.eps,
        )


class ChestXrayNetwork(nn.Module):
    """Backbone, global average pooling, head. Input is normalised RGB, float [N, 3, H, W].

    mean, std: normalisation that the backbone's weights were trained with, per channel, on a 0..1 scale.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, backbone: nn.Module, head: Head, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1))

    def normalise(self, image: Tensor) -> Tensor:
        """uint8 grey [N, H, W] -> float [N, 3, H, W], normalised for the backbone."""
        return (image.to(self.mean.dtype).unsqueeze(1) / 255.0 - self.mean) / self.std

    def features(self, normalised: Tensor) -> Tensor:
        """Last feature map, after its activation: float [N, features, H / 32, W / 32]."""
        return self.backbone(normalised)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """uint8 grey [N, H, W] -> logits [N, classes], embedding [N, features]."""
        embedding = self.features(self.normalise(image)).mean(dim=(2, 3))
        return self.head(embedding), embedding

    def train_mode(self, *, backbone_frozen: bool) -> None:
        """Training mode, except for a frozen backbone, which keeps its BatchNorm statistics."""
        self.train()
        self.backbone.requires_grad_(not backbone_frozen)
        if backbone_frozen:
            self.backbone.eval()


class _FeatureMap(nn.Module):
    """A timm model reduced to its last feature map, after the activation where the architecture has one at its end."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, normalised: Tensor) -> Tensor:
        return self.model.forward_features(normalised)


def build_network(architecture: str, *, hidden: int = 256, dropout: float = 0.3, classes: int = 3) -> ChestXrayNetwork:
    """Build a network with random weights; `training.network.pretrained` fills the backbone.

    architecture: any timm name whose forward_features ends in a map [N, C, H, W]: efficientnet_b0, tf_efficientnet_lite0,
        resnet50, densenet121 and others. Raises ConfigError for any other name; timm's hub and folder addresses are refused,
        because the name may come from a checkpoint of unknown origin.
    """
    if ":" in architecture or not timm.is_model(architecture):
        raise ConfigError(f"timm has no architecture {architecture!r}; timm.list_models() lists all, such as efficientnet_b0.")
    model: Any = timm.create_model(architecture, pretrained=False, num_classes=0)
    config = model.pretrained_cfg
    head = Head(model.num_features, hidden, classes, dropout)
    return ChestXrayNetwork(_FeatureMap(model), head, tuple(config["mean"]), tuple(config["std"]))
