"""The parts of an evaluation, in the order of the report. A new part is registered here and nowhere else."""

from training.evaluation.part import Part
from training.evaluation.parts import (
    calibration,
    comparison,
    misclassified,
    operating_points,
    prediction_sets,
    prevalence,
    robustness,
)
from training.evaluation.parts.attention import part as attention
from training.evaluation.parts.outliers import part as outliers
from training.evaluation.parts.shortcuts import part as shortcuts

PARTS: tuple[Part, ...] = (
    calibration.PART,
    operating_points.PART,
    prevalence.PART,
    prediction_sets.PART,
    outliers.PART,
    shortcuts.PART,
    attention.PART,
    robustness.PART,
    misclassified.PART,
    comparison.PART,
)

# Each of these takes minutes; all others together take about one.
LONG = (shortcuts.PART, attention.PART, robustness.PART)

# What `--parts quick` means.
QUICK = "quick"
QUICK_PARTS = tuple(part for part in PARTS if part not in LONG)


def select_parts(text: str) -> tuple[Part, ...]:
    """Parts by their comma-separated names, or QUICK_PARTS for "quick". Raises ValueError for an unknown name."""
    if text == QUICK:
        return QUICK_PARTS
    known = [part.name for part in PARTS]
    names = [name.strip() for name in text.split(",")]
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ValueError(f"unknown part {', '.join(map(repr, unknown))}; choose {QUICK}, or of {', '.join(known)}")
    return tuple(part for part in PARTS if part.name in names)
