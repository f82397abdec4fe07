"""The rows of the augmentation ablation of REPORT Table 8, and its table from the metrics of the cells.

A cell is one row with one seed.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
from scipy import stats

from training.config import AugmentConfig
from training.tables import UNDEFINED, markdown_table

BASELINE = "baseline"

# No augmentation. `row_augment` sets resize_px.
_OFF = AugmentConfig(horizontal_flip=0.0, rotation_degrees=0.0, brightness=0.0, contrast=0.0, clahe=0.0)

# The report resizes to 246 px before it crops 224.
_CROP_RATIO = 246 / 224

_FLIP: dict[str, float] = {"horizontal_flip": 0.5}
_ROTATION: dict[str, float] = {"rotation_degrees": 15.0}
_AFFINE: dict[str, float] = {"scale": 0.1}
_EXPOSURE: dict[str, float] = {"brightness": 0.2, "contrast": 0.2}

# What each row changes. Strengths are the report's, and those of training/configs/lite0.toml for rows that it does not have.
ROWS: dict[str, dict[str, float]] = {
    BASELINE: {},
    "brightness": {"brightness": 0.2},
    "contrast": {"contrast": 0.2},
    "horizontal flip": _FLIP,
    "rotation": _ROTATION,
    "affine": _AFFINE,
    "geometric": _FLIP | _ROTATION | _AFFINE,
    "clahe": {"clahe": 0.2},
    "full": _EXPOSURE | _FLIP | _ROTATION | _AFFINE | {"clahe": 0.2},
    "gamma": {"gamma": 1.6},
    "equalise": {"equalise": 0.1},
    "degrade": {"degrade": 0.4},
    "jpeg": {"jpeg": 0.3},
    "noise": {"noise": 8.0},
    "erase": {"erase": 0.3},
    "border": {"border": 0.3},
    "mixup": {"mixup_alpha": 0.2},
}

# Rows that also shift the film, by a random crop from a film 10 % larger.
_CROPPED = frozenset({"affine", "geometric", "full"})

# With fewer seeds there is no recommendation.
_FEWEST_SEEDS = 3


@dataclass(frozen=True)
class Cell:
    """Validation metrics of one row with one seed."""

    row: str  # name in `ROWS`
    changes: str  # what the row changes, see `describe_row`
    seed: int  # of films, their augmentation and the head
    accuracy: float  # 0..1
    auc: float  # macro, one class against the others, 0..1


# Mean and standard deviation over seeds; None for the latter with one seed.
Spread = tuple[float, float | None]


@dataclass(frozen=True)
class RowSummary:
    """One row, summarised over its seeds."""

    row: str  # name in `ROWS`
    seeds: int  # number of seeds
    accuracy: Spread  # 0..1
    auc: Spread  # 0..1
    delta_accuracy: Spread | None  # difference from the baseline of the same seeds; None for the baseline, or without one
    delta_auc: Spread | None  # as delta_accuracy
    recommendation: str  # see `recommend`


def row_augment(row: str, side_px: int) -> AugmentConfig:
    """The augmentation of a row for model inputs of side_px."""
    resize_px = round(side_px * _CROP_RATIO) if row in _CROPPED else side_px
    return replace(AugmentConfig(**asdict(_OFF) | ROWS[row]), resize_px=resize_px)


def describe_row(row: str) -> str:
    """What a row changes, such as "brightness 0.2"."""
    changed = [f"{name} {value:g}" for name, value in ROWS[row].items()]
    return ", ".join([*changed, *(["crop"] if row in _CROPPED else [])]) or "nothing"


def summarise(cells: Sequence[Cell]) -> list[RowSummary]:
    """One summary for each row, highest mean accuracy first, as in REPORT Table 8."""
    by_row: dict[str, dict[int, Cell]] = {}
    for cell in cells:
        by_row.setdefault(cell.row, {})[cell.seed] = cell
    baseline = by_row.get(BASELINE, {})
    summaries = []
    for row, of_row in by_row.items():
        shared = [] if row == BASELINE else sorted(set(of_row) & set(baseline))
        deltas = {
            name: [getattr(of_row[seed], name) - getattr(baseline[seed], name) for seed in shared]
            for name in ("accuracy", "auc")
        }
        summaries.append(
            RowSummary(
                row=row,
                seeds=len(of_row),
                accuracy=_mean_and_spread([cell.accuracy for cell in of_row.values()]),
                auc=_mean_and_spread([cell.auc for cell in of_row.values()]),
                delta_accuracy=_mean_and_spread(deltas["accuracy"]) if shared else None,
                delta_auc=_mean_and_spread(deltas["auc"]) if shared else None,
                recommendation=recommend(deltas["accuracy"]) if shared else UNDEFINED,
            )
        )
    return sorted(summaries, key=lambda summary: -summary.accuracy[0])


def recommend(deltas: Sequence[float]) -> str:
    """Recommendation from paired differences of accuracy [S].

    "keep" or "leave out" if the 95 % t interval of their mean excludes 0; "leaning to keep" or "leaning to leave out" if the
    mean is only beyond its standard error; else "no effect seen". "too few seeds" for fewer than 3: they can agree by chance.
    """
    if len(deltas) < _FEWEST_SEEDS:
        return "too few seeds"
    mean, spread = float(np.mean(deltas)), float(np.std(deltas, ddof=1))
    error = spread / math.sqrt(len(deltas))
    side = "keep" if mean > 0 else "leave out"
    if abs(mean) > float(stats.t.ppf(0.975, len(deltas) - 1)) * error:
        return side
    return f"leaning to {side}" if abs(mean) > error else "no effect seen"


def table(summaries: Sequence[RowSummary]) -> str:
    """REPORT Table 8 as Markdown, with standard deviations."""
    rows = [
        (
            each.row,
            describe_row(each.row),
            each.recommendation,
            str(each.seeds),
            _percent(each.accuracy),
            _percent(each.delta_accuracy, signed=True),
            _percent(each.auc),
            _percent(each.delta_auc, signed=True),
        )
        for each in summaries
    ]
    header = (
        "augmentation", "changes", "recommendation", "seeds", "val accuracy (%)", "against baseline", "macro AUC (%)",
        "against baseline",
    )  # fmt: skip
    return markdown_table(header, rows, words=3)


def _mean_and_spread(values: Sequence[float]) -> Spread:
    return float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else None


def _percent(value: Spread | None, *, signed: bool = False) -> str:
    if value is None:
        return UNDEFINED
    mean, spread = value
    shown = f"{100 * mean:+.2f}" if signed else f"{100 * mean:.2f}"
    return shown if spread is None else f"{shown} ± {100 * spread:.2f}"
