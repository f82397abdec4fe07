"""What the parts of an evaluation measure: a bundle, films, and what else may be at hand."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from service.model.bundle import ModelBundle
from service.model.observer import Observer
from service.model.predictor import Predictor
from training.data.folder import FilmFile
from training.data.held_out import is_held_out
from training.data.lung_segmenter import LungSegmenter
from training.errors import WeightsUnavailable
from training.evaluation.judging.films import JudgedSplit, judge
from training.evaluation.measures.bootstrap import Bootstrap
from training.network.bundle_weights import load_bundle
from training.network.classifier import ChestXrayNetwork, build_network


class NotMeasured(Exception):
    """The evidence lacks what a part needs; the message, a clause, is the reason that the report gives."""


@dataclass
class Evidence:
    """What parts may look at."""

    bundle: ModelBundle  # the one that is evaluated
    predictor: Predictor  # of that bundle
    films: tuple[FilmFile, ...]  # of the whole data folder
    split: str  # the one that is evaluated; others serve as a reference, never as evidence of quality
    threads: int  # films judged at the same time
    bootstrap: Bootstrap  # the samples behind intervals; its seed also draws subsets of films
    local: Path  # folder for what shows patients' films; never published
    lungs: LungSegmenter | None = None  # outlines lung fields; None without a segmenter
    not_chest: Path | None = None  # folder of pictures other than chest films, or None
    against: "Evidence | None" = None  # the same films as another bundle's evidence, or None
    # Not copied by dataclasses.replace: another bundle judges for itself.
    _judged: dict[str, JudgedSplit] = field(default_factory=dict, init=False)

    def judged(self, split: str | None = None) -> JudgedSplit:
        """A split (default: the evaluated one) as the bundle judges it; of another split, without the films that were held out.

        Computed once. Raises DatasetNotFound if the data have no films of the split, and EmptyClass if every film was refused.
        """
        name = split or self.split
        if name not in self._judged:
            held_out = "" if name == self.split else self.held_out_source
            films = [film for film in self.films if film.split == name and not is_held_out(film, held_out)]
            observer = Observer.from_bundle(self.bundle)
            self._judged[name] = judge(self.predictor, films, threads=self.threads, observer=observer)
        return self._judged[name]

    def network(self) -> ChestXrayNetwork | None:
        """The bundle's network in PyTorch, for gradients, in evaluation mode; None if its graph does not give all weights back.

        PyTorch then uses `threads` threads.
        """
        torch.set_num_threads(self.threads)
        network = build_network(self.bundle.manifest.architecture, hidden=self.bundle.manifest.head.hidden)
        try:
            load_bundle(network, self.bundle.path)
        except WeightsUnavailable:
            return None
        return network.eval().requires_grad_(False)

    @property
    def held_out_source(self) -> str:
        """What training and calibration did without, so that no reference may use it either; see `training.data.held_out`."""
        return held_out_source(self.bundle.manifest.training_config)

    def holds(self, split: str) -> bool:
        """Whether the data have films of a split."""
        return any(film.split == split for film in self.films)


def held_out_source(training_config: dict[str, Any]) -> str:
    """What training and calibration did without; "" if that is nothing."""
    return str(training_config.get("data", {}).get("held_out_source", ""))
