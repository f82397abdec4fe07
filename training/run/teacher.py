"""Teacher: the network as a run began says what each film shows, beside the film's label.

Where labels are noisy, a network that learns them again and again learns their errors; half of what it is asked for coming
from itself, as it was, holds it back (born-again networks, Furlanello et al. 2018, arXiv:1805.04770).
"""

from copy import deepcopy

import torch
from torch import Tensor, nn

from training.data.batches import NO_FINDING_SHOWN


class Teacher:
    """A frozen copy of a network, in evaluation mode. share: of a film's target that is the copy's answer, 0..1."""

    def __init__(self, network: nn.Module, share: float) -> None:
        self._network = deepcopy(network).eval().requires_grad_(requires_grad=False)
        self._share = share

    @torch.no_grad()
    def soften(self, targets: Tensor, labels: Tensor, images: Tensor) -> Tensor:
        """Targets [B, C] -> the same with the teacher's share; where no finding is shown, they stay.

        labels: int64 [B]; images: model input, uint8 [B, S, S], the very ones that the network learns from.
        """
        answers = self._network(images)[0].float().softmax(dim=1)
        share = torch.where(labels == NO_FINDING_SHOWN, 0.0, self._share).unsqueeze(1)
        return targets * (1.0 - share) + answers * share
