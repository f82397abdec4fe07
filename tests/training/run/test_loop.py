"""Passes over batches: the loss they report, accumulation, several processes, a loss that is not finite."""

from dataclasses import replace

import pytest
import torch

from training.config import AugmentConfig, AveragingConfig, OptimiserConfig, RunConfig
from training.devices import Compute, Processes
from training.errors import TrainingDiverged
from training.network.running_average import RunningAverage
from training.run.loop import Stepper, evaluate_epoch, train_epoch
from training.run.objective import Objective

CPU = Compute.of(RunConfig(amp="off"), torch.device("cpu"))


# Which film is which matters to source alignment alone.
NO_FILMS = torch.empty(0, dtype=torch.int64)


class _Linear(torch.nn.Module):
    """A network small enough to compute by hand: logits are linear in the mean grey value."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor([0.1, -0.2, 0.3]))

    def forward(self, images):
        grey = (images.float().mean(dim=(1, 2)) / 255.0).unsqueeze(1)
        return grey * self.weight, grey


def stepper_of(network, learning_rate, accumulation_steps):
    optimiser = torch.optim.SGD(network.parameters(), lr=learning_rate)
    scheduler = torch.optim.lr_scheduler.ConstantLR(optimiser, 1.0)
    config = OptimiserConfig(accumulation_steps=accumulation_steps, clip_norm=100.0)
    average = RunningAverage(network, AveragingConfig())
    return Stepper(network, optimiser, scheduler, CPU.precision.scaler(), average, config)


def one_epoch(batch_size, accumulation_steps):
    torch.manual_seed(0)
    images, labels = torch.randint(0, 256, (12, 4, 4), dtype=torch.uint8), torch.arange(12) % 3
    loader = [(images[i : i + batch_size], labels[i : i + batch_size], NO_FILMS) for i in range(0, 12, batch_size)]
    network, steps = _Linear(), []
    stepper = stepper_of(network, 1.0, accumulation_steps)
    stepper.optimiser.register_step_post_hook(lambda *_: steps.append(1))
    train_epoch(network, loader, Objective(), stepper, CPU, "test")
    return network.weight.detach(), len(steps)


def test_accumulated_small_batches_equal_one_large_batch():
    torch.testing.assert_close(one_epoch(12, 1)[0], one_epoch(3, 4)[0])


def test_a_short_last_accumulation_group_still_makes_a_step():
    assert one_epoch(3, 3)[1] == 2


# Sorted by class, as validation films are: each batch's own weighted mean would cancel the class weights.
SORTED_IMAGES = torch.arange(12, dtype=torch.uint8).repeat_interleave(16).view(12, 4, 4) * 20
SORTED_LABELS = torch.arange(12) // 4
SKEWED = torch.tensor([0.2, 1.0, 5.0])


def in_batches(size, films=slice(None)):
    return list(zip(SORTED_IMAGES[films].split(size), SORTED_LABELS[films].split(size), strict=True))


def train_once(network, loader, *, accumulation_steps=1, **objective):
    """One training epoch at learning rate 0, so that every batch meets the same weights."""
    films = [(*batch, NO_FILMS) for batch in loader]
    return train_epoch(network, films, Objective(**objective), stepper_of(network, 0.0, accumulation_steps), CPU, "epoch 3")


def judge(network, loader, *, compute=CPU, **objective):
    return evaluate_epoch(network, loader, Objective(**objective), compute, "epoch 3 val")


@pytest.mark.parametrize("epoch", [judge, train_once])
@pytest.mark.parametrize("batch_size", [3, 4, 5])
def test_the_reported_loss_is_the_weighted_mean_over_films_however_they_are_batched(epoch, batch_size):
    plain = epoch(_Linear(), in_batches(batch_size), class_weights=SKEWED).loss
    expected = torch.nn.functional.cross_entropy(_Linear()(SORTED_IMAGES)[0], SORTED_LABELS, SKEWED)
    assert plain == pytest.approx(expected.item(), rel=1e-5)
    whole, parts = (
        epoch(_Linear(), in_batches(size), class_weights=SKEWED, label_smoothing=0.1).loss for size in (12, batch_size)
    )
    assert parts == pytest.approx(whole, rel=1e-5)
    assert parts != pytest.approx(plain, rel=1e-3)


def test_accumulation_does_not_change_the_reported_loss():
    at_once, accumulated = (
        train_once(_Linear(), in_batches(3), class_weights=SKEWED, accumulation_steps=steps).loss for steps in (1, 4)
    )
    assert accumulated == at_once


def test_processes_with_unlike_films_report_the_loss_over_all_of_them(monkeypatch):
    shares = []

    def gather(parts, own):
        shares.append(own)
        parts[:] = [shares[0], own]

    monkeypatch.setattr(torch.distributed, "all_gather_object", gather)
    for rank, films in enumerate((slice(0, 3), slice(3, 12))):
        metrics = judge(
            _Linear(), in_batches(4, films), class_weights=SKEWED, compute=replace(CPU, processes=Processes(rank, 2))
        )
    alone = judge(_Linear(), in_batches(12), class_weights=SKEWED)
    assert metrics.loss == pytest.approx(alone.loss, rel=1e-5)
    assert metrics.accuracy == pytest.approx(alone.accuracy)


class _Nearest(torch.nn.Module):
    """Calls the class whose grey value (0, 100, 200) is nearest."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor(1.0))

    def forward(self, images):
        grey = images.float().mean(dim=(1, 2))
        return -self.weight * (grey[:, None] - torch.tensor([0.0, 100.0, 200.0])).abs(), grey


@pytest.mark.parametrize(("seed", "kept"), [(0, 0.0), (1, 1.0)])
def test_mixed_films_are_scored_against_the_finding_with_the_larger_share(seed, kept):
    labels = torch.arange(30) % 3
    images = (labels[:, None, None] * 100).to(torch.uint8).expand(-1, 4, 4).contiguous()
    torch.manual_seed(seed)
    assert float(torch.distributions.Beta(0.05, 0.05).sample()) == pytest.approx(kept, abs=1e-3), "choose another seed"
    torch.manual_seed(seed)
    metrics = train_once(_Nearest(), [(images, labels)], mixing=AugmentConfig(mixup_alpha=0.05))
    assert (metrics.accuracy, metrics.f1) == (1.0, 1.0)


@pytest.mark.parametrize(("epoch", "label"), [(train_once, "epoch 3"), (judge, "epoch 3 val")])
def test_a_loss_that_is_no_number_ends_the_run_and_names_batch_and_remedies(epoch, label):
    images = torch.arange(12, dtype=torch.float32).view(12, 1, 1).expand(-1, 4, 4).clone()
    images[7] = float("nan")
    loader = list(zip(images.split(3), SORTED_LABELS.split(3), strict=True))
    with pytest.raises(TrainingDiverged, match=rf'nan in batch 3 of {label};.*optimiser\.learning_rate.*run\.amp = "off"'):
        epoch(_Linear(), loader)
