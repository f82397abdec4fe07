"""A part of an evaluation: it measures, and turns the values into paragraphs, plots and limits.

metrics.json holds the values of each part under its name. Report and model card are written from metrics.json alone.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.evaluation.evidence import Evidence

# The values of a part, as JSON.
Measured = dict[str, Any]


@dataclass(frozen=True)
class Part:
    """One part."""

    name: str  # key in metrics.json, and name on the command line
    title: str  # heading in report and model card
    measure: Callable[[Evidence], Measured]  # raises NotMeasured if the evidence lacks what the part needs
    # The values as Markdown, with headings of level 3 or below; plots as ![title](figures/NAME)
    paragraphs: Callable[[Measured], Sequence[str]]
    draw: Callable[[Measured, Path], None] = lambda _, __: None  # writes the plots into the given folder, figures/
    limits: Callable[[Measured], Sequence[str]] = lambda _: ()  # sentences for the limits in the model card
    in_card: bool = True  # whether the model card has a section on this part

    def describe(self, values: Measured) -> str:
        """The paragraphs of the report as one text."""
        return "\n\n".join(self.paragraphs(values))
