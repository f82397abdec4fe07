"""Warm-up, cosine annealing with restarts, freezing phases, and when a run stops."""

from dataclasses import replace

import pytest
import torch

from training.config import OptimiserConfig, ScheduleConfig, StoppingConfig
from training.network.classifier import build_network
from training.run.schedule import build_optimiser, build_scheduler, is_backbone_frozen, learning_rate_factor
from training.run.stopping import EpochRecord, best_epoch, judged_alike, stop_reason

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


def history(f1s, *, frozen=0, gap=0.0, losses=None, train_losses=None):
    return [
        EpochRecord(
            epoch=i + 1,
            backbone_frozen=i < frozen,
            learning_rate=1e-3,
            train_loss=train_losses[i] if train_losses else 1.0 / (i + 1),
            train_f1=f1 + gap,
            val_loss=losses[i] if losses else 1.0,
            val_f1=f1,
            val_accuracy=f1,
            val_auc=f1,
            seconds=1.0,
        )
        for i, f1 in enumerate(f1s)
    ]


CONFIG = StoppingConfig(patience=3)


def test_patience_counts_epochs_without_a_better_f1():
    assert stop_reason(history([0.5, 0.6, 0.6, 0.6]), CONFIG) is None
    reason = stop_reason(history([0.5, 0.6, 0.6, 0.6, 0.6]), CONFIG)
    assert reason is not None and "epoch 2" in reason


def test_an_improvement_below_the_minimum_does_not_count():
    records = history([0.6, 0.60005, 0.60009, 0.6])
    assert best_epoch(records, 1e-4).epoch == 1
    assert stop_reason(records, CONFIG) is not None


def test_frozen_epochs_do_not_use_up_patience():
    assert stop_reason(history([0.6, 0.5, 0.5, 0.5, 0.5], frozen=5), CONFIG) is None
    assert stop_reason(history([0.6, 0.5, 0.5, 0.5, 0.5, 0.5], frozen=4), CONFIG) is None


def test_overfitting_is_detected_only_while_the_validation_loss_rises():
    config = replace(CONFIG, patience=99, overfit_epochs=3)
    f1s = [0.5, 0.6, 0.7]
    assert "overfitting" in (stop_reason(history(f1s, gap=0.2, losses=[0.8, 0.9, 1.0]), config) or "")
    assert stop_reason(history(f1s, gap=0.2, losses=[1.0, 0.9, 0.8]), config) is None
    assert stop_reason(history(f1s, gap=0.1, losses=[0.8, 0.9, 1.0]), config) is None


def test_convergence_of_the_training_loss_stops_a_run():
    config = replace(CONFIG, patience=99, convergence_epochs=3)
    flat = history([0.1, 0.2, 0.3, 0.4], train_losses=[1.0, 0.5, 0.5, 0.5004])
    assert "converged" in (stop_reason(flat, config) or "")
    assert stop_reason(history([0.1, 0.2, 0.3], train_losses=[0.6, 0.55, 0.5]), config) is None


def test_a_best_epoch_on_small_films_does_not_count_once_there_are_epochs_at_the_final_side():
    records = history([0.7, 0.9, 0.8, 0.85])
    assert best_epoch(judged_alike(records[:2], 2), 0.0).epoch == 2
    assert best_epoch(judged_alike(records, 2), 0.0).epoch == 4
    assert best_epoch(judged_alike(records, 0), 0.0).epoch == 2
