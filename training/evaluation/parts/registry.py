"""The parts of an evaluation, in the order of the report. A new one is imported and named here, and nowhere else."""

from training.evaluation.part import Part
from training.evaluation.parts import (
    attention,
    comparison,
    misclassified,
    outliers,
    prediction_sets,
    prevalence,
    robustness,
    screening,
    set_forms,
    shortcuts,
    temperature,
)
from training.evaluation.parts import operating_points as decisions

PARTS: tuple[Part, ...] = (
    temperature.PART,
    decisions.PART,
    prevalence.PART,
    screening.PART,
    prediction_sets.PART,
    set_forms.PART,
    outliers.PART,
    shortcuts.PART,
    attention.PART,
    robustness.PART,
    misclassified.PART,
    comparison.PART,
)

# What the short form leaves out: each takes minutes, the others together about one.
LONG = (shortcuts.PART, attention.PART, robustness.PART)
