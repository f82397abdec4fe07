"""The training loss: targets, Mixup and CutMix, cross-entropy, and further terms."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - the name PyTorch's documentation uses
from torch import Tensor, nn

from service.model.findings import FINDINGS
from training.config import AugmentConfig, TrainConfig
from training.data.batches import NO_FINDING_SHOWN
from training.data.folder import FilmFile
from training.data.sampling import class_weights
from training.network.classifier import ChestXrayNetwork
from training.run.source_alignment import SourceAlignment


@dataclass(frozen=True)
class LossTerms:
    """Class-weighted cross-entropy of a batch, before it is divided."""

    summed: Tensor  # over the films, a scalar
    # Sum of the class weights, a scalar. The mean over an epoch divides the sums of both, since batches have different weights.
    weight: Tensor

    @property
    def mean(self) -> Tensor:
        """The class-weighted mean; for hard targets, that of torch's cross_entropy."""
        return self.summed / self.weight


class Teacher:
    """A frozen copy of the network; a share of each target comes from its answers (self-distillation).

    Where labels are noisy, this keeps a network from learning their errors (born-again networks, Furlanello et al. 2018,
    arXiv:1805.04770). network: with its initial weights. share: of a target, 0..1.
    """

    def __init__(self, network: nn.Module, share: float) -> None:
        self._network = deepcopy(network).eval().requires_grad_(requires_grad=False)
        self._share = share

    @torch.no_grad()
    def soften(self, targets: Tensor, labels: Tensor, images: Tensor) -> Tensor:
        """Mix the teacher's answers into targets [B, C]. Films that show no finding keep theirs.

        labels: int64 [B]. images: model input, [B, S, S], as the network gets it.
        """
        answers = self._network(images)[0].float().softmax(dim=1)
        share = torch.where(labels == NO_FINDING_SHOWN, 0.0, self._share).unsqueeze(1)
        return targets * (1.0 - share) + answers * share


@dataclass(frozen=True)
class Objective:
    """The loss of a run."""

    class_weights: Tensor | None = None  # float32 [C]; None weights all classes equally
    label_smoothing: float = 0.0  # share of each target that is spread over all classes
    mixing: AugmentConfig = field(default_factory=AugmentConfig)  # Mixup and CutMix
    alignment: SourceAlignment | None = None  # see `SourceAlignment`; None for no such term
    alignment_weight: float = 0.0  # of that term
    teacher: Teacher | None = None  # see `Teacher`; None leaves targets as they are

    @classmethod
    def build(
        cls, config: TrainConfig, films: Sequence[FilmFile], network: ChestXrayNetwork, device: torch.device
    ) -> "Objective":
        """films: of the training split, in the order of their indices. network: with its initial weights."""
        loss = config.loss
        return cls(
            class_weights=class_weights(films, config.data).to(device) if loss.class_weights else None,
            label_smoothing=loss.label_smoothing,
            mixing=config.augment,
            alignment=SourceAlignment(films, network.head.spec.features, device) if loss.source_alignment else None,
            alignment_weight=loss.source_alignment,
            teacher=Teacher(network, loss.distillation) if loss.distillation else None,
        )

    def targets(self, labels: Tensor) -> Tensor:
        """Labels int64 [B] -> smoothed targets float [B, C]; NO_FINDING_SHOWN gives the uniform distribution."""
        spread = torch.where(labels == NO_FINDING_SHOWN, 1.0, self.label_smoothing).unsqueeze(1)
        return F.one_hot(labels.clamp(min=0), len(FINDINGS)).float() * (1.0 - spread) + spread / len(FINDINGS)

    def terms(self, logits: Tensor, targets: Tensor) -> LossTerms:
        """Cross-entropy of logits [B, C] with target distributions [B, C]."""
        weighted = targets if self.class_weights is None else targets * self.class_weights
        return LossTerms(summed=-(weighted * F.log_softmax(logits, dim=1)).sum(), weight=weighted.sum())


def mix(images: Tensor, targets: Tensor, config: AugmentConfig) -> tuple[Tensor, Tensor]:
    """Mixup (arXiv:1710.09412) or CutMix (arXiv:1905.04899) within the batch, if the config asks for one.

    images: uint8 [B, S, S] -> the same, or float 0..255 when mixed. targets: [B, C], mixed by the same share.
    """
    alpha = config.mixup_alpha or config.cutmix_alpha
    if not alpha:
        return images, targets
    share = float(torch.distributions.Beta(alpha, alpha).sample())
    other = torch.randperm(len(images), device="cpu").to(images.device)
    if config.mixup_alpha:
        mixed = images.float() * share + images[other].float() * (1.0 - share)
    else:
        side = images.shape[-1]
        cut = int(side * np.sqrt(1.0 - share))
        top, left = (int(torch.randint(0, side - cut + 1, ())) for _ in range(2))
        mixed = images.clone()
        mixed[:, top : top + cut, left : left + cut] = images[other][:, top : top + cut, left : left + cut]
        share = 1.0 - (cut / side) ** 2
    return mixed, targets * share + targets[other] * (1.0 - share)
