"""Attacks: small changes that mislead a model, FGSM and PGD within an L-infinity ball. Images and a model in, images out."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from service.film.arrays import GreyPixels
from training.evaluation.measures.confusion import Labels

# Grey levels 0..255, float [N, S, S] -> logits [N, C].
Model = Callable[[Tensor], Tensor]

# As many as Madry et al. train against; more steps gain little.
PGD_STEPS = 7

# Lets a step cross the ball several times, so that the end does not depend on the start.
_PGD_REACH = 2.5


def fgsm(model: Model, images: GreyPixels, labels: Labels, epsilon: int) -> GreyPixels:
    """One step of `epsilon` grey levels along the sign of the loss's gradient (Goodfellow et al., arXiv:1412.6572).

    images: uint8 [N, S, S]; labels: int [N]. Returns uint8 [N, S, S].
    """
    start = torch.from_numpy(images).float()
    return _to_images(start + epsilon * _ascent(model, start, labels))


def pgd(model: Model, images: GreyPixels, labels: Labels, epsilon: int, *, seed: int) -> GreyPixels:
    """Projected gradient ascent on the loss from a random start in the ball (Madry et al., arXiv:1706.06083).

    images: uint8 [N, S, S]; labels: int [N]; epsilon: radius in grey levels. Rounding to grey levels stays within the ball,
    since its centre and its radius are whole. Returns uint8 [N, S, S].
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
    """Every pixel moved by `epsilon` grey levels up or down at random: as large a change as FGSM's, without an aim."""
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
