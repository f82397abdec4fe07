"""train_epoch() and evaluate_epoch(): batches in, figures out. Knows no files and no schedule beyond stepping it."""

from collections.abc import Iterable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.distributed as dist
import torch.nn.functional as F  # noqa: N812 - the name PyTorch's documentation uses
from sklearn.metrics import accuracy_score, f1_score, roc_auc_score
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.lr_scheduler import LRScheduler
from tqdm import tqdm

from service.model.findings import FINDINGS
from training.config import AugmentConfig, LossConfig, OptimiserConfig
from training.data.batches import NO_FINDING_SHOWN
from training.devices import Precision, Processes
from training.errors import TrainingDiverged
from training.network.averaging import WeightAverage
from training.run.source_alignment import SourceAlignment
from training.run.teacher import Teacher


@dataclass(frozen=True)
class EpochFigures:
    """loss: cross-entropy, class-weighted mean over all films; f1: macro, 0..1; auc: macro one-vs-rest, nan without a class.

    Of mixed films (Mixup, CutMix) the finding with the largest share counts as the truth.
    """

    loss: float
    f1: float
    accuracy: float
    auc: float


@dataclass
class Stepper:
    """What an optimiser step needs."""

    network: nn.Module
    optimiser: torch.optim.Optimizer
    scheduler: LRScheduler
    scaler: torch.amp.GradScaler
    average: WeightAverage
    config: OptimiserConfig

    def step(self) -> None:
        """Unscale, clip, step, average; then move the learning rate."""
        self.scaler.unscale_(self.optimiser)
        trained = [parameter for parameter in self.network.parameters() if parameter.requires_grad]
        nn.utils.clip_grad_norm_(trained, self.config.clip_norm)
        self.scaler.step(self.optimiser)
        self.scaler.update()
        self.optimiser.zero_grad(set_to_none=True)
        self.scheduler.step()
        self.average.after_step()


def train_epoch(
    model: nn.Module,
    stepper: Stepper,
    loader: Iterable[tuple[Tensor, ...]],
    weights: Tensor | None,
    loss_config: LossConfig,
    alignment: SourceAlignment | None,
    teacher: Teacher | None,
    mixing: AugmentConfig,
    precision: Precision,
    device: torch.device,
    processes: Processes,
    label: str,
) -> EpochFigures:
    """One pass over `loader` with gradient accumulation. `model` is the network, or its DDP wrapper.

    Raises TrainingDiverged at the first batch whose loss is not finite.
    """
    accumulation = stepper.config.accumulation_steps
    total = len(loader)  # type: ignore[arg-type]  # loaders are sized
    outcomes = _Outcomes()
    for number, (batch_images, batch_labels, batch_films) in enumerate(_progress(loader, label, processes), start=1):
        labels = batch_labels.to(device, non_blocking=True)
        targets = target_distributions(labels, loss_config.label_smoothing)
        images, targets = mix(batch_images.to(device, non_blocking=True), targets, mixing)
        closes_step = number % accumulation == 0 or number == total
        with _no_sync(model) if not closes_step else nullcontext():
            with precision.autocast():
                logits, embedding = (output.float() for output in model(images))
                softened = targets if teacher is None else teacher.soften(targets, labels, images)
                terms = loss_terms(logits, softened, weights)
                loss = terms.summed / terms.weight
                if alignment is not None:
                    loss = loss + loss_config.source_alignment * alignment.loss(embedding, labels, batch_films)
            _require_finite(loss, f"batch {number} of {label}")
            # The last group of an epoch may be shorter; dividing by its own length keeps each step a mean.
            group = accumulation if number <= total - total % accumulation else total % accumulation
            stepper.scaler.scale(loss / group).backward()
        if closes_step:
            stepper.step()
        shows_finding = labels != NO_FINDING_SHOWN
        outcomes.add(terms, logits[shows_finding], targets[shows_finding].argmax(dim=1))
    return outcomes.figures(processes)


@torch.no_grad()
def evaluate_epoch(
    network: nn.Module,
    loader: Iterable[tuple[Tensor, ...]],
    weights: Tensor | None,
    smoothing: float,
    precision: Precision,
    device: torch.device,
    processes: Processes,
    label: str,
) -> EpochFigures:
    """One pass without gradients, in evaluation mode. Raises TrainingDiverged at the first batch whose loss is not finite."""
    network.eval()
    outcomes = _Outcomes()
    for number, (batch_images, batch_labels) in enumerate(_progress(loader, label, processes), start=1):
        images, labels = batch_images.to(device, non_blocking=True), batch_labels.to(device, non_blocking=True)
        with precision.autocast():
            logits = network(images)[0].float()
            terms = loss_terms(logits, target_distributions(labels, smoothing), weights)
        _require_finite(terms.summed, f"batch {number} of {label}")
        outcomes.add(terms, logits, labels)
    return outcomes.figures(processes)


@dataclass(frozen=True)
class LossTerms:
    """Class-weighted cross-entropy of a batch before it is divided: scalars summed over its films, and the weight to divide by.

    Kept apart, because a mean of batch means is not the mean over the films when batches weigh differently.
    """

    summed: Tensor
    weight: Tensor


def loss_terms(logits: Tensor, targets: Tensor, weights: Tensor | None) -> LossTerms:
    """With target distributions [B, C] and class weights [C]; summed / weight equals torch's weighted mean for hard targets."""
    weighted = targets if weights is None else targets * weights
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


def classification_figures(
    loss: float, probabilities: npt.NDArray[np.floating[Any]], labels: npt.NDArray[np.integer[Any]]
) -> EpochFigures:
    """Figures of probabilities [N, C] against labels, int [N]; the most probable finding is what is called."""
    called = probabilities.argmax(axis=1)
    complete = len(np.unique(labels)) == len(FINDINGS)
    return EpochFigures(
        loss=loss,
        f1=float(f1_score(labels, called, average="macro", labels=range(len(FINDINGS)), zero_division=0.0)),
        accuracy=float(accuracy_score(labels, called)),
        auc=float(roc_auc_score(labels, probabilities, multi_class="ovr")) if complete else float("nan"),
    )


def _require_finite(loss: Tensor, place: str) -> None:
    if not torch.isfinite(loss):
        raise TrainingDiverged(
            f"The loss is {loss.item()} in {place}; what was saved before stays. Train anew in another --out, with a lower "
            'optimiser.learning_rate or with run.amp = "off".'
        )


def target_distributions(labels: Tensor, smoothing: float = 0.0) -> Tensor:
    """int64 [B] -> float [B, C], `smoothing` of the mass spread over all classes; all of it for NO_FINDING_SHOWN."""
    classes = len(FINDINGS)
    spread = torch.where(labels == NO_FINDING_SHOWN, 1.0, smoothing).unsqueeze(1)
    return F.one_hot(labels.clamp(min=0), classes).float() * (1.0 - spread) + spread / classes


def _progress(loader: Iterable[Any], label: str, processes: Processes) -> Iterable[Any]:
    return tqdm(loader, desc=label, leave=False, dynamic_ncols=True, mininterval=1.0, disable=not processes.is_main)


def _no_sync(model: nn.Module) -> Any:
    return model.no_sync() if isinstance(model, DistributedDataParallel) else nullcontext()


class _Outcomes:
    """Losses, probabilities and labels of an epoch, gathered over processes at the end."""

    def __init__(self) -> None:
        self._losses: list[tuple[float, float]] = []
        self._probabilities: list[np.ndarray[Any, Any]] = []
        self._labels: list[np.ndarray[Any, Any]] = []

    def add(self, terms: LossTerms, logits: Tensor, labels: Tensor) -> None:
        self._losses.append((float(terms.summed.detach()), float(terms.weight)))
        self._probabilities.append(torch.softmax(logits.detach(), dim=1).cpu().numpy())
        self._labels.append(labels.cpu().numpy())

    def figures(self, processes: Processes) -> EpochFigures:
        own = (self._losses, self._probabilities, self._labels)
        parts: list[Any] = [own]
        if processes.count > 1:
            parts = [None] * processes.count
            dist.all_gather_object(parts, own)
        summed, weight = np.sum([terms for part in parts for terms in part[0]], axis=0)
        probabilities = np.concatenate([block for part in parts for block in part[1]])
        labels = np.concatenate([block for part in parts for block in part[2]])
        return classification_figures(float(summed / weight), probabilities, labels)
