"""When a run ends early (REPORT Table 15, section 4.7). A pure function of the history, so resuming is exact."""

from collections.abc import Sequence
from dataclasses import dataclass

from training.config import StoppingConfig


@dataclass(frozen=True)
class EpochRecord:
    """Figures of one epoch.

    Losses are label-smoothed cross-entropies, class-weighted means over the films. F1 is macro, 0..1; of mixed training films
    (Mixup, CutMix) the finding with the largest share counts as the truth. learning_rate: the head's, at the start of the
    epoch. seconds: wall time.
    """

    epoch: int
    backbone_frozen: bool
    learning_rate: float
    train_loss: float
    train_f1: float
    val_loss: float
    val_f1: float
    val_accuracy: float
    val_auc: float
    seconds: float


def best_epoch(history: Sequence[EpochRecord], minimum_improvement: float) -> EpochRecord:
    """The record that later ones did not beat by more than minimum_improvement in validation F1."""
    best = history[0]
    for record in history[1:]:
        if record.val_f1 > best.val_f1 + minimum_improvement:
            best = record
    return best


def judged_alike(history: Sequence[EpochRecord], small_epochs: int) -> Sequence[EpochRecord]:
    """The records that can be compared: those at the final side once there are any, else those at the small side.

    A network is sharper at the side that it was trained at last, so that figures of small films say nothing of large ones.
    """
    return history[small_epochs:] or history


def stop_reason(history: Sequence[EpochRecord], config: StoppingConfig) -> str | None:
    """Why training should end now, or None. Frozen epochs count for the best F1 but never for stopping."""
    unfrozen = [record for record in history if not record.backbone_frozen]
    if not unfrozen:
        return None
    best = best_epoch(history, config.minimum_improvement)
    waited = min(history[-1].epoch - best.epoch, len(unfrozen))
    if waited >= config.patience:
        return f"no better validation F1 than {best.val_f1:.4f} (epoch {best.epoch}) for {waited} epochs"
    if _is_overfitting(unfrozen, config):
        return (
            f"overfitting: training F1 above validation F1 by more than {config.overfit_gap:g} "
            f"for {config.overfit_epochs} epochs while the validation loss rose"
        )
    if _has_converged(unfrozen, config):
        return f"converged: training loss within {config.convergence_tolerance:.2%} over {config.convergence_epochs} epochs"
    return None


def _is_overfitting(history: Sequence[EpochRecord], config: StoppingConfig) -> bool:
    recent = history[-config.overfit_epochs :]
    if len(recent) < config.overfit_epochs:
        return False
    gap_held = all(record.train_f1 - record.val_f1 > config.overfit_gap for record in recent)
    return gap_held and recent[-1].val_loss > recent[0].val_loss


def _has_converged(history: Sequence[EpochRecord], config: StoppingConfig) -> bool:
    recent = [record.train_loss for record in history[-config.convergence_epochs :]]
    if len(recent) < config.convergence_epochs:
        return False
    return max(recent) - min(recent) < config.convergence_tolerance * max(recent)
