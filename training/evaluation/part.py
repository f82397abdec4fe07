"""A part of an evaluation: measures evidence, and turns what it measured into paragraphs, plots and limits.

metrics.json holds what each part measured, under its name. Report and model card are written from that alone.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.evaluation.evidence import Evidence

# JSON values.
Measured = dict[str, Any]


@dataclass(frozen=True)
class Part:
    """One part."""

    name: str  # its key in metrics.json and on the command line
    title: str  # its heading
    measure: Callable[[Evidence], Measured]  # gives the values; raises NotMeasured if the evidence lacks what the part needs
    # The values as Markdown, without headings above level 3; plots as ![title](figures/NAME)
    paragraphs: Callable[[Measured], Sequence[str]]
    draw: Callable[[Measured, Path], None] = lambda _, __: None  # draws the values into the folder figures/
    limits: Callable[[Measured], Sequence[str]] = lambda _: ()  # what the values add to the limits in the model card
    in_card: bool = True  # whether the model card has a section on it

    def describe(self, values: Measured) -> str:
        """The paragraphs as one text."""
        return "\n\n".join(self.paragraphs(values))
