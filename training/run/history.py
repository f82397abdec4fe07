"""What a run leaves to read: training_history.json and training_curves.png (REPORT Table 26, Figure 1)."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from training.json_file import write_whole
from training.run.stopping import EpochRecord


def as_columns(history: Sequence[EpochRecord]) -> dict[str, list[Any]]:
    """Records -> {"epoch": [...], "train_loss": [...], ...}, the form that checkpoints hold (REPORT 7.2)."""
    return {name: [asdict(record)[name] for record in history] for name in EpochRecord.__dataclass_fields__}


def from_columns(columns: dict[str, list[Any]]) -> list[EpochRecord]:
    """The inverse of `as_columns`."""
    names = list(EpochRecord.__dataclass_fields__)
    return [EpochRecord(**dict(zip(names, row, strict=True))) for row in zip(*(columns[name] for name in names), strict=True)]


def write_history(path: Path, history: Sequence[EpochRecord], outcome: dict[str, Any]) -> None:
    """Write the columns and the outcome of the run (best epoch, why it stopped) as JSON, atomically."""
    write_whole(path, {"outcome": outcome, "history": as_columns(history)})


def draw_curves(path: Path, history: Sequence[EpochRecord]) -> None:
    """Three panels: loss; macro F1 with the generalisation gap shaded; learning rate. The frozen phase is tinted."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    columns = as_columns(history)
    epochs = columns["epoch"]
    figure, (loss, f1, rate) = plt.subplots(1, 3, figsize=(15, 4.2), layout="constrained")
    loss.plot(epochs, columns["train_loss"], label="training", color="#1f77b4")
    loss.plot(epochs, columns["val_loss"], label="validation", color="#d62728")
    loss.set(title="Loss", ylabel="cross-entropy (label-smoothed)")
    f1.plot(epochs, columns["train_f1"], label="training", color="#1f77b4")
    f1.plot(epochs, columns["val_f1"], label="validation", color="#d62728")
    f1.fill_between(epochs, columns["train_f1"], columns["val_f1"], color="grey", alpha=0.2, label="gap")
    f1.set(title="Macro F1", ylabel="F1", ylim=(0, 1))
    rate.plot(epochs, columns["learning_rate"], color="#2ca02c", label="head")
    rate.set(title="Learning rate at the start of the epoch", ylabel="learning rate", yscale="log")
    frozen = [epoch for epoch, held in zip(epochs, columns["backbone_frozen"], strict=True) if held]
    for axes in (loss, f1, rate):
        if frozen:
            axes.axvspan(frozen[0] - 0.5, frozen[-1] + 0.5, color="gold", alpha=0.15, label="backbone frozen")
        axes.set_xlabel("epoch")
        axes.grid(alpha=0.3)
        axes.legend()
    figure.savefig(path, dpi=110)
    plt.close(figure)
