"""Train a head on the features of a frozen backbone: optimiser, schedule, averaging, weights and loss as in a whole run."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.optim import AdamW

from service.model.findings import FINDINGS
from training.config import TrainConfig
from training.data.folder import FilmFile
from training.data.sampling import class_weights, epoch_order, film_weights
from training.devices import seed_epoch
from training.errors import TrainingDiverged
from training.network.classifier import Head
from training.network.running_average import RunningAverage
from training.run.loop import EpochMetrics, Stepper, classification_metrics
from training.run.objective import LossTerms, Objective
from training.run.schedule import build_scheduler
from training.search.frozen_features import Features


def fit_head(
    training: Features, films: Sequence[FilmFile], validation: Features, config: TrainConfig
) -> Iterator[EpochMetrics]:
    """Yield the validation metrics after each epoch of config.schedule.epochs; epoch e trains on view (e - 1) mod V.

    films: those of `training`, [N], in its order. The same config.run.seed gives the same metrics. Raises TrainingDiverged.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.run.seed)
        head = Head(training.pooled.shape[-1], config.model.hidden, len(FINDINGS), config.model.dropout)
    optimiser = AdamW(
        head.parameters(),
        lr=config.optimiser.learning_rate,
        betas=(config.optimiser.beta1, config.optimiser.beta2),
        weight_decay=config.optimiser.weight_decay,
    )
    steps = max(1, len(films) // config.optimiser.batch_size)
    stepper = Stepper(
        network=head,
        optimiser=optimiser,
        scheduler=build_scheduler(optimiser, config.optimiser, config.schedule, steps),
        scaler=torch.amp.GradScaler("cpu", enabled=False),
        average=RunningAverage(head, config.averaging),
        config=config.optimiser,
    )
    objective = Objective(class_weights(films, config.data) if config.loss.class_weights else None)
    drawn, balanced = film_weights(films, config.data), config.data.balance != "none"
    for epoch in range(1, config.schedule.epochs + 1):
        seed_epoch(config.run, epoch, 0)
        stepper.average.begin_epoch(epoch)
        order = torch.from_numpy(epoch_order(drawn, balanced=balanced, seed=config.run.seed, epoch=epoch))
        view = (epoch - 1) % len(training.pooled)
        head.train()
        for batch in order.tensor_split(steps):
            terms = _terms(head, training.pooled[view, batch], training.targets[view, batch], objective, config)
            terms.mean.backward()
            stepper.step()
        stepper.average.after_epoch()
        yield _judge(stepper.average.judged, validation, objective, config)


def _terms(head: nn.Module, pooled: Tensor, targets: Tensor, objective: Objective, config: TrainConfig) -> LossTerms:
    smoothing = config.loss.label_smoothing
    terms = objective.terms(head(pooled), targets * (1.0 - smoothing) + smoothing / len(FINDINGS))
    if not torch.isfinite(terms.summed):
        raise TrainingDiverged(
            f"The loss of the head is {terms.summed.item()} at optimiser.learning_rate = "
            f"{config.optimiser.learning_rate:g}; lower it."
        )
    return terms


@torch.no_grad()
def _judge(head: nn.Module, validation: Features, objective: Objective, config: TrainConfig) -> EpochMetrics:
    head.eval()
    pooled, targets = validation.pooled[0], validation.targets[0]
    terms = _terms(head, pooled, targets, objective, config)
    probabilities = torch.softmax(head(pooled), dim=1).numpy()
    return classification_metrics(float(terms.mean), probabilities, targets.argmax(dim=1).numpy())
