"""The epochs of a run: EpochRecord, training_history.json and training_curves.png (REPORT Table 26, Figure 1)."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from service.files import write_json
from training.plots import new_figure, save

HISTORY_NAME = "training_history.json"
CURVES_NAME = "training_curves.png"


@dataclass(frozen=True)
class EpochRecord:
    """Metrics of one epoch."""

    epoch: int  # number, from 1
    backbone_frozen: bool  # whether only the head trained
    learning_rate: float  # of the head, at the start of the epoch
    train_loss: float  # label-smoothed cross-entropy, class-weighted mean over the films
    train_f1: float  # macro, 0..1; the truth of a mixed film (Mixup, CutMix) is the finding with the largest share
    val_loss: float  # as train_loss
    val_f1: float  # macro, 0..1
    val_accuracy: float  # 0..1
    val_auc: float  # macro, one class against the others, 0..1; NaN if a class is missing
    seconds: float  # wall time


def as_columns(history: Sequence[EpochRecord]) -> dict[str, list[Any]]:
    """Records -> {"epoch": [...], "train_loss": [...], ...}, as checkpoints hold them (REPORT 7.2)."""
    return {name: [asdict(record)[name] for record in history] for name in EpochRecord.__dataclass_fields__}


def from_columns(columns: dict[str, list[Any]]) -> list[EpochRecord]:
    """The inverse of `as_columns`."""
    names = list(EpochRecord.__dataclass_fields__)
    return [EpochRecord(**dict(zip(names, row, strict=True))) for row in zip(*(columns[name] for name in names), strict=True)]


def write_history(out: Path, history: Sequence[EpochRecord], outcome: dict[str, Any]) -> None:
    """Write training_history.json: the columns, and the outcome of the run (best epoch, why it stopped)."""
    write_json(out / HISTORY_NAME, {"outcome": outcome, "history": as_columns(history)}, allow_nan=True)


def read_history(out: Path) -> dict[str, Any]:
    """The content of training_history.json; empty if there is none."""
    path = out / HISTORY_NAME
    return dict(json.loads(path.read_text("utf-8"))) if path.is_file() else {}


def draw_curves(out: Path, history: Sequence[EpochRecord]) -> None:
    """Write training_curves.png: loss, macro F1 with the gap between the splits shaded, learning rate.

    The epochs with a frozen backbone are tinted.
    """
    columns = as_columns(history)
    epochs = columns["epoch"]
    figure = new_figure(15, 4.2)
    loss, f1, rate = figure.subplots(1, 3)
    for axes, name in ((loss, "loss"), (f1, "f1")):
        axes.plot(epochs, columns[f"train_{name}"], label="training", color="#1f77b4")
        axes.plot(epochs, columns[f"val_{name}"], label="validation", color="#d62728")
    f1.fill_between(epochs, columns["train_f1"], columns["val_f1"], color="grey", alpha=0.2, label="gap")
    rate.plot(epochs, columns["learning_rate"], color="#2ca02c", label="head")
    loss.set(title="Loss", ylabel="cross-entropy (label-smoothed)")
    f1.set(title="Macro F1", ylabel="F1", ylim=(0, 1))
    rate.set(title="Learning rate at the start of the epoch", ylabel="learning rate", yscale="log")
    frozen = [record.epoch for record in history if record.backbone_frozen]
    for axes in (loss, f1, rate):
        if frozen:
            axes.axvspan(frozen[0] - 0.5, frozen[-1] + 0.5, color="gold", alpha=0.15, label="backbone frozen")
        axes.set_xlabel("epoch")
        axes.grid(alpha=0.3)
        axes.legend()
    save(figure, out / CURVES_NAME)
