"""One pass over batches, to train or to validate: batches in, metrics out."""

from collections.abc import Iterable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from sklearn.metrics import accuracy_score, f1_score, roc_auc_score
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.lr_scheduler import LRScheduler
from tqdm import tqdm

from service.model.findings import FINDINGS
from training.config import OptimiserConfig
from training.data.batches import NO_FINDING_SHOWN
from training.devices import Compute, Processes
from training.errors import TrainingDiverged
from training.network.running_average import RunningAverage
from training.run.objective import LossTerms, Objective, mix


@dataclass(frozen=True)
class EpochMetrics:
    """Metrics of one pass. The truth of a mixed film (Mixup, CutMix) is the finding with the largest share."""

    loss: float  # cross-entropy, class-weighted mean over the films
    f1: float  # macro, 0..1
    accuracy: float  # 0..1
    auc: float  # macro, one class against the others, 0..1; NaN if a class is missing


@dataclass
class Stepper:
    """What makes optimiser steps, and the state that they change."""

    network: nn.Module  # whose gradients are clipped
    optimiser: torch.optim.Optimizer  # of its parameters
    scheduler: LRScheduler  # stepped after each optimiser step
    scaler: torch.amp.GradScaler  # of the gradients
    average: RunningAverage  # of the weights
    config: OptimiserConfig  # accumulation and clipping

    def step(self) -> None:
        """Make one optimiser step from the accumulated gradients, and advance learning rate and average."""
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
    loader: Iterable[tuple[Tensor, ...]],
    objective: Objective,
    stepper: Stepper,
    compute: Compute,
    label: str,
) -> EpochMetrics:
    """Train on each batch of `loader` once, accumulating gradients as configured.

    model: the network, or its DistributedDataParallel wrapper. label: of the progress bar and the error. Raises
    TrainingDiverged at the first batch whose loss is not finite.
    """
    accumulation = stepper.config.accumulation_steps
    total = len(loader)  # type: ignore[arg-type]  # loaders are sized
    outcomes = _Outcomes()
    for number, (batch_images, batch_labels, batch_films) in enumerate(_progress(loader, label, compute), start=1):
        labels = batch_labels.to(compute.device, non_blocking=True)
        images, targets = mix(batch_images.to(compute.device, non_blocking=True), objective.targets(labels), objective.mixing)
        closes_step = number % accumulation == 0 or number == total
        with nullcontext() if closes_step or not isinstance(model, DistributedDataParallel) else model.no_sync():
            with compute.precision.autocast():
                logits, embedding = (output.float() for output in model(images))
                teacher = objective.teacher
                softened = targets if teacher is None else teacher.soften(targets, labels, images)
                terms = objective.terms(logits, softened)
                loss = terms.mean
                if objective.alignment is not None:
                    loss = loss + objective.alignment_weight * objective.alignment.loss(embedding, labels, batch_films)
            _require_finite(loss, f"batch {number} of {label}")
            # The last step of an epoch may accumulate fewer batches. Each step divides by its own number, to follow their mean.
            group = accumulation if number <= total - total % accumulation else total % accumulation
            stepper.scaler.scale(loss / group).backward()
        if closes_step:
            stepper.step()
        shows_finding = labels != NO_FINDING_SHOWN
        outcomes.add(terms, logits[shows_finding], targets[shows_finding].argmax(dim=1))
    return outcomes.metrics(compute.processes)


@torch.no_grad()
def evaluate_epoch(
    network: nn.Module, loader: Iterable[tuple[Tensor, ...]], objective: Objective, compute: Compute, label: str
) -> EpochMetrics:
    """Judge the batches of `loader` in evaluation mode. Raises TrainingDiverged at the first loss that is not finite."""
    network.eval()
    outcomes = _Outcomes()
    for number, (batch_images, batch_labels) in enumerate(_progress(loader, label, compute), start=1):
        images, labels = (batch.to(compute.device, non_blocking=True) for batch in (batch_images, batch_labels))
        with compute.precision.autocast():
            logits = network(images)[0].float()
            terms = objective.terms(logits, objective.targets(labels))
        _require_finite(terms.summed, f"batch {number} of {label}")
        outcomes.add(terms, logits, labels)
    return outcomes.metrics(compute.processes)


def _require_finite(loss: Tensor, batch: str) -> None:
    if not torch.isfinite(loss):
        raise TrainingDiverged(
            f"The loss is {loss.item()} in {batch}; the checkpoints of earlier epochs are kept. Train again into another "
            '--out, with a lower optimiser.learning_rate or with run.amp = "off".'
        )


def _progress(loader: Iterable[Any], label: str, compute: Compute) -> Iterable[Any]:
    hidden = not compute.processes.is_main
    return tqdm(loader, desc=label, leave=False, dynamic_ncols=True, mininterval=1.0, disable=hidden)


class _Outcomes:
    """Losses, probabilities and labels of a pass, which `metrics` gathers over all processes."""

    def __init__(self) -> None:
        self._losses: list[tuple[float, float]] = []
        self._probabilities: list[np.ndarray[Any, Any]] = []
        self._labels: list[np.ndarray[Any, Any]] = []

    def add(self, terms: LossTerms, logits: Tensor, labels: Tensor) -> None:
        self._losses.append((float(terms.summed.detach()), float(terms.weight)))
        self._probabilities.append(torch.softmax(logits.detach(), dim=1).cpu().numpy())
        self._labels.append(labels.cpu().numpy())

    def metrics(self, processes: Processes) -> EpochMetrics:
        own = (self._losses, self._probabilities, self._labels)
        parts: list[Any] = [own]
        if processes.count > 1:
            parts = [None] * processes.count
            dist.all_gather_object(parts, own)
        summed, weight = np.sum([terms for part in parts for terms in part[0]], axis=0)
        probabilities = np.concatenate([block for part in parts for block in part[1]])
        labels = np.concatenate([block for part in parts for block in part[2]])
        predicted = probabilities.argmax(axis=1)
        complete = len(np.unique(labels)) == len(FINDINGS)
        return EpochMetrics(
            loss=float(summed / weight),
            f1=float(f1_score(labels, predicted, average="macro", labels=range(len(FINDINGS)), zero_division=0.0)),
            accuracy=float(accuracy_score(labels, predicted)),
            auc=float(roc_auc_score(labels, probabilities, multi_class="ovr")) if complete else float("nan"),
        )
