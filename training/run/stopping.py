"""When a run ends early (REPORT Table 15 and 4.7): a pure function of the history, so that resuming changes nothing."""

from collections.abc import Sequence

from training.config import StoppingConfig
from training.run.history import EpochRecord


def best_epoch(history: Sequence[EpochRecord], minimum_improvement: float) -> EpochRecord:
    """The last epoch that improved the best validation F1 so far by more than minimum_improvement."""
    best = history[0]
    for record in history[1:]:
        if record.val_f1 > best.val_f1 + minimum_improvement:
            best = record
    return best


def judged_alike(history: Sequence[EpochRecord], small_epochs: int) -> Sequence[EpochRecord]:
    """The epochs with comparable metrics: those at the final side once there are any, else those at the small side.

    A network does best at the side that it was last trained at, so metrics at two sides are not comparable.
    """
    return history[small_epochs:] or history


def stop_reason(history: Sequence[EpochRecord], config: StoppingConfig) -> str | None:
    """Why training should end now, or None. An epoch with a frozen backbone can be the best, but does not count as waiting."""
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
