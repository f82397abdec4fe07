"""Learning rate and frozen epochs (REPORT Tables 13 and 15): functions of progress, so that resuming changes nothing."""

import math

from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR

from training.config import OptimiserConfig, ScheduleConfig
from training.network.classifier import ChestXrayNetwork


def is_backbone_frozen(epoch: int, schedule: ScheduleConfig) -> bool:
    """Whether the backbone is frozen in this epoch: it is in epochs 1 to frozen_epochs."""
    return epoch <= schedule.frozen_epochs


def learning_rate_factor(progress: float, schedule: ScheduleConfig, base: float) -> float:
    """Factor on the base learning rate after `progress` epochs (a real number >= 0).

    Linear warm-up from warmup_factor to 1, then cosine annealing with warm restarts down to minimum_learning_rate
    (SGDR, Loshchilov & Hutter, arXiv:1608.03983).
    """
    if progress < schedule.warmup_epochs:
        return schedule.warmup_factor + (1.0 - schedule.warmup_factor) * progress / schedule.warmup_epochs
    position, cycle = progress - schedule.warmup_epochs, float(schedule.cycle_epochs)
    while position >= cycle:
        position -= cycle
        cycle *= schedule.cycle_growth
    floor = min(1.0, schedule.minimum_learning_rate / base)
    return floor + (1.0 - floor) * (1.0 + math.cos(math.pi * position / cycle)) / 2.0


def build_optimiser(network: ChestXrayNetwork, config: OptimiserConfig) -> AdamW:
    """AdamW with two parameter groups: the backbone at backbone_factor times the learning rate, then the head."""
    rate = config.learning_rate
    groups = [
        {"params": list(network.backbone.parameters()), "lr": rate * config.backbone_factor},
        {"params": list(network.head.parameters()), "lr": rate},
    ]
    return AdamW(groups, lr=rate, betas=(config.beta1, config.beta2), weight_decay=config.weight_decay)


def build_scheduler(optimiser: AdamW, config: OptimiserConfig, schedule: ScheduleConfig, steps_per_epoch: int) -> LambdaLR:
    """The scheduler, to be stepped after every optimiser step."""
    return LambdaLR(optimiser, lambda step: learning_rate_factor(step / steps_per_epoch, schedule, config.learning_rate))
