"""A short training run in place of a whole one: few epochs, few and small films, one cosine cycle, no files."""

from collections.abc import Iterator
from dataclasses import replace

from training.config import TrainConfig
from training.config_file import config_from_dict
from training.data.training_data import TrainingData
from training.devices import Compute, choose_device
from training.run.history import EpochRecord
from training.run.trainer import Trainer


def short_run(config: TrainConfig, data: TrainingData) -> Iterator[EpochRecord]:
    """Yield the metrics of each epoch. Raises TrainingDiverged, and what `Trainer.build` raises."""
    trainer = Trainer.build(config, data, Compute.of(config.run, choose_device(config.run.device)))
    for number in range(1, config.schedule.epochs + 1):
        yield trainer.epoch(number)


def shortened(config: TrainConfig, *, epochs: int, films: int, all_films: int, side_px: int) -> TrainConfig:
    """The configuration of a short run in place of `config`. Raises ConfigError.

    films, all_films: training films of the short and of the whole run. The decay of an EMA is raised to the ratio of their
    optimiser steps, so that the average spans the same part of the run.
    """
    ratio = max(1.0, config.schedule.epochs * all_films / (epochs * films))
    warmup_epochs = min(1, epochs - 1)
    resize_px = round(config.augment.resize_px * side_px / config.data.image_size_px)
    schedule = replace(
        config.schedule,
        epochs=epochs,
        warmup_epochs=warmup_epochs,
        cycle_epochs=epochs - warmup_epochs,
        frozen_epochs=min(config.schedule.frozen_epochs, epochs - 1),
        small_epochs=0,
    )
    averaging = replace(
        config.averaging,
        decay=config.averaging.decay**ratio,
        start_epoch=min(config.averaging.start_epoch, max(1, epochs // 2)),
    )
    changed = replace(
        config,
        data=replace(config.data, image_size_px=side_px, workers=0),
        augment=replace(config.augment, resize_px=resize_px),
        schedule=schedule,
        averaging=averaging,
    )
    return config_from_dict(changed.as_dict())
