"""Trainer: trains and validates a network, one epoch at a time."""

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from training.config import TrainConfig
from training.data.batches import EvaluationFilms, FilmStore, TrainingFilms, batches
from training.data.sampling import epoch_order, film_weights, own_share
from training.data.training_data import TrainingData
from training.devices import Compute, seed_epoch, share_buffers
from training.network.classifier import ChestXrayNetwork
from training.network.initialise import initial_network
from training.network.running_average import RunningAverage
from training.run.history import EpochRecord
from training.run.loop import EpochMetrics, Stepper, evaluate_epoch, train_epoch
from training.run.objective import Objective
from training.run.schedule import build_optimiser, build_scheduler, is_backbone_frozen


@dataclass
class Trainer:
    """A run's state in memory."""

    config: TrainConfig  # of the run
    network: ChestXrayNetwork  # in training, on the device
    stepper: Stepper  # optimiser, learning rate and running average
    objective: Objective  # loss
    training: FilmStore  # films of the training split
    validation: FilmStore  # films of the validation split
    compute: Compute  # device, precision and processes

    @classmethod
    def build(cls, config: TrainConfig, data: TrainingData, compute: Compute) -> "Trainer":
        """A trainer before its first epoch. Raises ConfigError, WeightsUnavailable or CheckpointInvalid."""
        training = FilmStore.for_training(data.train, config, cache=config.data.cache)
        network = initial_network(config, training)
        network.to(compute.device)
        if config.run.channels_last:
            network.to(memory_format=torch.channels_last)
        optimiser = build_optimiser(network, config.optimiser)
        loader_batches = max(1, len(data.train) // compute.processes.count // config.optimiser.batch_size)
        steps_per_epoch = -(-loader_batches // config.optimiser.accumulation_steps)
        stepper = Stepper(
            network=network,
            optimiser=optimiser,
            scheduler=build_scheduler(optimiser, config.optimiser, config.schedule, steps_per_epoch),
            scaler=compute.precision.scaler(),
            average=RunningAverage(network, config.averaging),
            config=config.optimiser,
        )
        return cls(
            config=config,
            network=network,
            stepper=stepper,
            objective=Objective.build(config, data.train, network, compute.device),
            training=training,
            validation=FilmStore.for_evaluation(data.val, config, cache=config.data.cache),
            compute=compute,
        )

    def epoch(self, number: int) -> EpochRecord:
        """Train and validate once. Epochs count from 1. Raises TrainingDiverged."""
        started, config = time.monotonic(), self.config
        seed_epoch(config.run, number, self.compute.processes.rank)
        self.stepper.average.begin_epoch(number)
        frozen = is_backbone_frozen(number, config.schedule)
        rate = float(self.stepper.optimiser.param_groups[-1]["lr"])
        trained = self._train(number, frozen=frozen)
        self.stepper.average.after_epoch()
        validated = self._validate(number)
        return EpochRecord(
            epoch=number,
            backbone_frozen=frozen,
            learning_rate=rate,
            train_loss=trained.loss,
            train_f1=trained.f1,
            val_loss=validated.loss,
            val_f1=validated.f1,
            val_accuracy=validated.accuracy,
            val_auc=validated.auc,
            seconds=round(time.monotonic() - started, 1),
        )

    def _train(self, number: int, *, frozen: bool) -> EpochMetrics:
        config, processes = self.config, self.compute.processes
        self.network.train_mode(backbone_frozen=frozen)
        drawn = film_weights(self.training.films, config.data)
        order = epoch_order(drawn, balanced=config.data.balance != "none", seed=config.run.seed, epoch=number)
        own = own_share(order, processes)
        self.training.warm([int(index) for index in np.unique(own)], shows_progress=processes.is_main)
        side_px, films_px = config.data.image_size_px, None
        if number <= config.schedule.small_epochs:
            side_px = config.schedule.small_side_px
            films_px = round(config.augment.resize_px * side_px / config.data.image_size_px)
        seed = [config.run.seed, number, processes.rank]
        films = TrainingFilms(self.training, own, config.augment, side_px, seed, films_px)
        loader = batches(
            films,
            config.optimiser.batch_size,
            workers=config.data.workers,
            drop_last=len(films) >= config.optimiser.batch_size,
            pin_memory=self.compute.device.type == "cuda",
        )
        # DDP records at construction which parameters train, and freezing changes that, so each epoch wraps anew.
        model: nn.Module = self.network if processes.count == 1 else DistributedDataParallel(self.network)
        label = f"epoch {number}/{config.schedule.epochs} train"
        return train_epoch(model, loader, self.objective, self.stepper, self.compute, label)

    def _validate(self, number: int) -> EpochMetrics:
        schedule, processes = self.config.schedule, self.compute.processes
        judged = self.stepper.average.judged
        share_buffers(judged, processes)
        own = list(range(len(self.validation.films)))[processes.rank :: processes.count]
        self.validation.warm(own, shows_progress=processes.is_main)
        side_px = schedule.small_side_px if number <= schedule.small_epochs else None
        loader = batches(EvaluationFilms(self.validation, own, side_px), 64)
        return evaluate_epoch(judged, loader, self.objective, self.compute, f"epoch {number}/{schedule.epochs} val")

    def state_dict(self) -> dict[str, Any]:
        """What training continues with, as checkpoints hold it."""
        alignment = self.objective.alignment
        return {
            "model_state_dict": self.network.state_dict(),
            "optimizer_state_dict": self.stepper.optimiser.state_dict(),
            "scheduler_state_dict": self.stepper.scheduler.state_dict(),
            "scaler_state_dict": self.stepper.scaler.state_dict(),
            "average_state_dict": self.stepper.average.state_dict(),
            **({"alignment_state_dict": alignment.state_dict()} if alignment else {}),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` gave."""
        if self.objective.alignment is not None:
            self.objective.alignment.load_state_dict(state["alignment_state_dict"])
        self.network.load_state_dict(state["model_state_dict"])
        self.stepper.optimiser.load_state_dict(state["optimizer_state_dict"])
        self.stepper.scheduler.load_state_dict(state["scheduler_state_dict"])
        self.stepper.scaler.load_state_dict(state["scaler_state_dict"])
        self.stepper.average.load_state_dict(state["average_state_dict"])
