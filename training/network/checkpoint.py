"""Saves and loads checkpoints: contents of REPORT 7.2, names of REPORT 7.3.

A checkpoint holds tensors and plain values only, so that it loads with weights_only=True, which runs no code.
"""

from pathlib import Path
from typing import Any

import torch

from service.files import atomic_write
from training.errors import CheckpointInvalid

LATEST_NAME = "latest_checkpoint.pt"
BEST_NAME = "best_model.pt"

REQUIRED_KEYS = (
    "epoch", "model_state_dict", "optimizer_state_dict", "scheduler_state_dict", "val_f1", "config", "class_names", "history",
)  # fmt: skip


def save_checkpoint(path: Path, content: dict[str, Any]) -> None:
    """Write tensors and plain values. A kill while writing leaves an existing file intact."""
    with atomic_write(path) as draft:
        torch.save(content, draft)


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint onto the CPU. Raises CheckpointInvalid if it is missing, damaged, unsafe or incomplete."""
    if not path.is_file():
        raise CheckpointInvalid(f"No checkpoint at {path}; train first: `cxr train --help`.")
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as fault:  # a damaged pickle can raise anything; PyTorch's message advises to run its code
        raise CheckpointInvalid(
            f"{path} is damaged or holds more than tensors and plain values ({type(fault).__name__}); train again."
        ) from fault
    missing = [key for key in REQUIRED_KEYS if key not in checkpoint]
    if missing:
        raise CheckpointInvalid(f"{path} lacks {', '.join(missing)}; it was not written by `cxr train`.")
    return checkpoint


def recipe_of(checkpoint: dict[str, Any]) -> dict[str, Any]:
    """The configuration of a checkpoint's run, with the recipes of the runs that it averages or began with."""
    ancestry = ("averaged_runs", "averaged_with_start", "averaged_last", "began_with")
    return {**checkpoint["config"], **{name: checkpoint[name] for name in ancestry if name in checkpoint}}
