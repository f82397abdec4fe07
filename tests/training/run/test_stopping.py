"""When a run stops, and which epoch is the best."""

from dataclasses import replace

from training.config import StoppingConfig
from training.run.stopping import EpochRecord, best_epoch, judged_alike, stop_reason


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
