"""Warm-up, cosine annealing with restarts, freezing phases."""

import pytest
import torch

from training.config import OptimiserConfig, ScheduleConfig
from training.network.classifier import build_network
from training.run.schedule import build_optimiser, build_scheduler, is_backbone_frozen, learning_rate_factor

SCHEDULE = ScheduleConfig()


def factor(progress):
    return learning_rate_factor(progress, SCHEDULE, 1e-3)


def test_warm_up_is_linear_from_a_tenth():
    assert [factor(p) for p in (0, 1.5, 3)] == pytest.approx([0.1, 0.55, 1.0])


def test_cosine_falls_to_the_minimum_and_restarts_with_a_longer_cycle():
    assert factor(3 + 5) == pytest.approx(0.01 + 0.99 / 2)
    assert factor(3 + 10 - 1e-9) == pytest.approx(0.01, abs=1e-6)
    assert factor(3 + 10) == pytest.approx(1.0)
    assert factor(3 + 10 + 10) == pytest.approx(0.01 + 0.99 / 2)
    assert factor(3 + 10 + 20) == pytest.approx(1.0)


def test_the_backbone_is_frozen_for_the_first_five_epochs():
    assert [is_backbone_frozen(epoch, SCHEDULE) for epoch in (1, 5, 6)] == [True, True, False]


def test_the_backbone_learns_at_a_tenth_of_the_heads_rate():
    network = build_network("tf_efficientnet_lite0", hidden=8)
    optimiser = build_optimiser(network, OptimiserConfig())
    build_scheduler(optimiser, OptimiserConfig(), SCHEDULE, steps_per_epoch=10)
    backbone, head = optimiser.param_groups
    assert backbone["lr"] == pytest.approx(0.1 * head["lr"]) == pytest.approx(1e-5)
    assert sum(len(group["params"]) for group in optimiser.param_groups) == len(list(network.parameters()))


def test_a_frozen_backbone_keeps_weights_and_batch_statistics():
    network = build_network("tf_efficientnet_lite0", hidden=8)
    optimiser = build_optimiser(network, OptimiserConfig())
    network.train_mode(backbone_frozen=True)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    network(torch.randint(0, 256, (4, 64, 64), dtype=torch.uint8))[0].sum().backward()
    optimiser.step()
    changed = {name for name, tensor in network.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed and all(name.startswith("head.") for name in changed)
    network.train_mode(backbone_frozen=False)
    assert all(parameter.requires_grad for parameter in network.parameters())
