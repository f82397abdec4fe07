"""Adversarial attacks within an L-infinity ball, FGSM and PGD, and random noise of the same size as their control."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from service.film.arrays import GreyPixels
from training.evaluation.measures.confusion import Labels

# Grey levels 0..255, float [N, S, S] -> logits [N, C].
Model = Callable[[Tensor], Tensor]

# As many as Madry et al. train against (arXiv:1706.06083, CIFAR-10).
PGD_STEPS = 7

# All steps together, in radii of the ball: from any start, every point of the ball (2 radii) is within reach.
_PGD_REACH = 2.5


def fgsm(model: Model, images: GreyPixels, labels: Labels, epsilon: int) -> GreyPixels:
    """One step of `epsilon` grey levels along the sign of the loss's gradient (Goodfellow et al., arXiv:1412.6572).

    images: uint8 [N, S, S]; labels: int [N]. Returns uint8 [N, S, S].
    """
    start = torch.from_numpy(images).float()
    return _to_images(start + epsilon * _ascent(model, start, labels))


def pgd(model: Model, images: GreyPixels, labels: Labels, epsilon: int, *, seed: int) -> GreyPixels:
    """Projected gradient ascent on the loss from a random start in the ball (Madry et al., arXiv:1706.06083).

    images: uint8 [N, S, S]; labels: int [N]; epsilon: radius in grey levels. Returns uint8 [N, S, S], within the ball after
    rounding too, since its centre and its radius are integers.
    """
    centre = torch.from_numpy(images).float()
    low, high = (centre - epsilon).clamp(min=0), (centre + epsilon).clamp(max=255)
    generator = torch.Generator().manual_seed(seed)
    point = (centre + epsilon * (2 * torch.rand(centre.shape, generator=generator) - 1)).clamp(low, high)
    step = _PGD_REACH * epsilon / PGD_STEPS
    for _ in range(PGD_STEPS):
        point = (point + step * _ascent(model, point, labels)).clamp(low, high)
    return _to_images(point)


def random_noise(images: GreyPixels, epsilon: int, *, seed: int) -> GreyPixels:
    """Every pixel moved up or down by `epsilon` grey levels at random: as large a change as FGSM's, but not aimed.

    images: uint8 [N, S, S]. Returns uint8 [N, S, S].
    """
    signs = np.random.default_rng(seed).choice(np.array([-1, 1]), images.shape)
    return np.clip(images + epsilon * signs, 0, 255).astype(np.uint8)


def _ascent(model: Model, images: Tensor, labels: Labels) -> Tensor:
    """Sign of the cross-entropy's gradient with respect to the images."""
    point = images.detach().requires_grad_()
    loss = functional.cross_entropy(model(point), torch.from_numpy(labels), reduction="sum")
    (gradient,) = torch.autograd.grad(loss, point)
    return gradient.sign()


def _to_images(values: Tensor) -> GreyPixels:
    return values.detach().round().clamp(0, 255).numpy().astype(np.uint8)
