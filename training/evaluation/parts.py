"""What an evaluation consists of: parts that take the same evidence, and give values, words and pictures.

metrics.json holds what parts measure, under their names; report and card are written from it alone.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from service.contract.manifest import ModelBundle
from service.predictor import Predictor
from training.evaluation.judging import JudgedSplit, judge
from training.folder import FilmFile
from training.lungs.segmenter import LungSegmenter

Measured = dict[str, Any]


@dataclass
class Evidence:
    """What parts may look at. split: the one that is evaluated; the others serve as reference, never as evidence of quality.

    lungs: outlines lung fields, None without a segmenter. not_chest: folder of pictures that are no chest radiographs, or None.
    local: folder for what shows patients' films; never published.
    """

    bundle: ModelBundle
    predictor: Predictor
    films: tuple[FilmFile, ...]
    split: str
    threads: int
    seed: int
    local: Path
    lungs: LungSegmenter | None = None
    not_chest: Path | None = None
    _judged: dict[str, JudgedSplit] = field(default_factory=dict)

    def judged(self, split: str | None = None) -> JudgedSplit:
        """A split as the bundle judges it (default: the evaluated one), computed once. Raises DatasetNotFound or EmptyClass."""
        name = split or self.split
        if name not in self._judged:
            chosen = [film for film in self.films if film.split == name]
            self._judged[name] = judge(self.predictor, chosen, threads=self.threads)
        return self._judged[name]


@dataclass(frozen=True)
class Part:
    """One part of the report.

    name: its key in metrics.json and on the command line. measure: plain JSON values; None if the evidence lacks what it needs.
    describe: those values as Markdown without headings above level 3; pictures as ![title](figures/NAME).
    draw: those values as pictures into the folder figures/.
    """

    name: str
    title: str
    measure: Callable[[Evidence], Measured | None]
    describe: Callable[[Measured], str]
    draw: Callable[[Measured, Path], None]
