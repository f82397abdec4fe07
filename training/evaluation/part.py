"""What an evaluation consists of: parts that take the same evidence, and give values, words and pictures.

metrics.json holds what parts measure, under their names; report and card are written from it alone.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from service.model.bundle import ModelBundle
from service.model.observer import Observer
from service.model.predictor import Predictor
from training.data.folder import FilmFile
from training.data.lung_segmenter import LungSegmenter
from training.evaluation.judging.films import JudgedSplit, judge
from training.evaluation.report.ancestry import held_out_source

Measured = dict[str, Any]


class NotMeasured(Exception):
    """What a part's measure() raises where the evidence lacks what it needs; its message, a clause, is the report's reason."""


@dataclass
class Evidence:
    """What parts may look at. split: the one that is evaluated; the others serve as reference, never as evidence of quality.

    seed, resamples: of the bootstrap draws behind intervals. lungs: outlines lung fields, None without a segmenter.
    not_chest: folder of pictures that are no chest radiographs, or None. against: another bundle's evidence of the same films.
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
    against: "Evidence | None" = None
    resamples: int = 1000
    # Not taken over by dataclasses.replace: another bundle judges for itself.
    _judged: dict[str, JudgedSplit] = field(default_factory=dict, init=False)

    def judged(self, split: str | None = None) -> JudgedSplit:
        """A split as the bundle judges it (default: the evaluated one), computed once; of the others, what the bundle has seen.

        Raises NotMeasured if the data have no films of a split other than the evaluated one, DatasetNotFound if they have none
        of that, and EmptyClass if every film was refused.
        """
        name = split or self.split
        if name not in self._judged:
            if name != self.split and not self.holds(name):
                raise NotMeasured(f"the data have no films of the {name} split")
            chosen = [film for film in self.films if film.split == name and (name == self.split or self._was_seen(film))]
            observer = Observer.from_bundle(self.bundle)
            self._judged[name] = judge(self.predictor, chosen, threads=self.threads, observer=observer)
        return self._judged[name]

    @property
    def held_out_source(self) -> str:
        """The source that training and calibration did without, so that no reference may use it either; "" if there is none."""
        return held_out_source(self.bundle.manifest.training_config)

    def _was_seen(self, film: FilmFile) -> bool:
        return not self.held_out_source or film.source != self.held_out_source

    def holds(self, split: str) -> bool:
        """Whether the data have films of a split."""
        return any(film.split == split for film in self.films)

    def count(self, split: str | None = None) -> int:
        """Films in a split (default: the evaluated one), those that will be refused among them."""
        return sum(film.split == (split or self.split) for film in self.films)

    def lacking(self) -> str:
        """Which of the optional evidence is not there, as a clause."""
        absent = [
            *([] if self.lungs else ["no lung segmenter"]),
            *([] if self.not_chest else ["no folder of pictures that are no chest radiographs"]),
        ]
        return f"there is {' and '.join(absent)}" if absent else "the data lack what it needs"


def _nothing(_: Measured) -> Sequence[str]:
    return ()


def draw_nothing(_: Measured, __: Path) -> None:
    """The `draw` of a part without pictures."""


def intervals_alone(evidence: Evidence) -> float:
    """The `films` of a part that only draws bootstrap samples of what was judged."""
    return 0.1 * evidence.count() * evidence.resamples / 2000


@dataclass(frozen=True)
class Part:
    """One part of the report.

    name: its key in metrics.json and on the command line. measure: plain JSON values; None if the evidence lacks what it
    needs, or, to say what, NotMeasured.
    describe: those values as Markdown without headings above level 3; pictures as ![title](figures/NAME).
    draw: those values as pictures into the folder figures/. limits: sentences for the model card's limits that the values
    call for. in_card: whether the model card has a section on it.
    films: how many films are judged in the time that the part takes, roughly, as measured with the released model on two cores;
    what the user is told beforehand comes from it and the pace of the machine at hand.
    """

    name: str
    title: str
    measure: Callable[[Evidence], Measured | None]
    describe: Callable[[Measured], str]
    draw: Callable[[Measured, Path], None]
    limits: Callable[[Measured], Sequence[str]] = _nothing
    in_card: bool = True
    films: Callable[[Evidence], float] = intervals_alone
