"""Fit a LungNetwork with binary cross-entropy plus Dice loss (Milletari et al., arXiv:1606.04797), and score it."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm

from service.film.arrays import GreyPixels
from training.config import AveragingConfig
from training.lungs.augmentation import augment_pair
from training.lungs.films import LungFilm
from training.lungs.network import LungNetwork
from training.network.running_average import RunningAverage

_BATCH_SIZE = 16
_LEARNING_RATE = 3e-3  # largest one, of the decoder
_ENCODER_FACTOR = 0.3  # learning rate of the pretrained encoder, relative to the decoder's


def fit(network: LungNetwork, films: Sequence[LungFilm], *, epochs: int, seed: int) -> None:
    """Train in place. The network ends in evaluation mode, with the exponential moving average of its weights.

    One-cycle learning rate (Smith and Topin, arXiv:1708.07120). No score stops the training or chooses an epoch, so that no
    validation films are needed.
    """
    torch.manual_seed(seed)
    batches = max(1, len(films) // _BATCH_SIZE)  # in an epoch; an incomplete last batch is dropped
    encoder = list(network.encoder.parameters())
    decoder = [*network.steps.parameters(), *network.outline.parameters()]
    rates = [_LEARNING_RATE * _ENCODER_FACTOR, _LEARNING_RATE]
    optimiser = torch.optim.AdamW([{"params": encoder, "lr": rates[0]}, {"params": decoder, "lr": rates[1]}], weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=rates, total_steps=epochs * batches, pct_start=0.15)
    # Averages about the last twentieth of the run, in which the learning rate is nearly zero.
    decay = max(0.8, 1.0 - 20.0 / (epochs * batches))
    average = RunningAverage(network, AveragingConfig(kind="ema", decay=decay, start_epoch=1))
    network.train()
    with tqdm(total=epochs * batches, unit="batch", desc="lungs") as progress:
        for epoch in range(epochs):
            average.begin_epoch(epoch + 1)
            rng = np.random.default_rng([seed, epoch])
            order = rng.permutation(len(films))
            for start in range(0, batches * _BATCH_SIZE, _BATCH_SIZE):
                batch = [films[index] for index in order[start : start + _BATCH_SIZE]]
                images, masks = _stack([augment_pair(film.film, film.mask, rng) for film in batch])
                loss = _loss(network.logits(images), masks)
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                schedule.step()
                average.after_step()
                progress.update()
                progress.set_postfix(loss=f"{loss.item():.3f}")
    network.load_state_dict(average.judged.state_dict())
    network.eval()


def dice_scores(network: nn.Module, films: Sequence[LungFilm]) -> npt.NDArray[np.float64]:
    """Dice coefficient 2 |A and B| / (|A| + |B|) of outline and mask for each film, float64 [N], 0..1; 0 if both are empty.

    network: in evaluation mode. Its probabilities are enlarged to the size of the mask; the outline is where they exceed 0.5.
    """
    scores = []
    with torch.inference_mode():
        for film in films:
            probability = network(torch.from_numpy(film.film[None]))[:, None]
            enlarged = functional.interpolate(probability, size=film.mask.shape, mode="bilinear", align_corners=False)
            outline = enlarged[0, 0].numpy() > 0.5
            overlap = np.logical_and(outline, film.mask).sum()
            scores.append(2.0 * overlap / max(1, outline.sum() + film.mask.sum()))
    return np.array(scores, dtype=np.float64)


def _stack(pairs: list[tuple[GreyPixels, GreyPixels]]) -> tuple[Tensor, Tensor]:
    """Films, uint8 [B, S, S], and the share of lung in each pixel of the network's output, float [B, S / 2, S / 2]."""
    images = torch.from_numpy(np.stack([film for film, _ in pairs]))
    masks = torch.from_numpy(np.stack([mask for _, mask in pairs])).float()
    return images, functional.avg_pool2d(masks[:, None], 2)[:, 0]


def _loss(logits: Tensor, shares: Tensor) -> Tensor:
    """Cross-entropy plus 1 - Dice, the mean over films; adding 1 to both sides of Dice's fraction keeps it defined."""
    cross_entropy = functional.binary_cross_entropy_with_logits(logits, shares)
    probability = torch.sigmoid(logits)
    overlap = (probability * shares).sum(dim=(1, 2))
    total = probability.sum(dim=(1, 2)) + shares.sum(dim=(1, 2))
    return cross_entropy + 1.0 - ((2.0 * overlap + 1.0) / (total + 1.0)).mean()
