"""What the parts of an evaluation measure: a bundle, films, and optionally a lung segmenter and other pictures."""

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
    """One bundle on the films of one data folder."""

    bundle: ModelBundle  # the evaluated one
    predictor: Predictor  # of that bundle
    films: tuple[FilmFile, ...]  # of the whole data folder
    split: str  # the evaluated one; the others only serve as a reference
    threads: int  # films judged at the same time
    bootstrap: Bootstrap  # the samples behind intervals; its seed also draws subsets of films
    local: Path  # folder for files that show films of patients; never published
    lungs: LungSegmenter | None = None
    not_chest: Path | None = None  # folder of pictures other than chest films
    against: "Evidence | None" = None  # another bundle on the same films, to compare with
    # init=False, so that dataclasses.replace does not copy it: another bundle judges for itself.
    _judged: dict[str, JudgedSplit] = field(default_factory=dict, init=False)

    def judged(self, split: str | None = None) -> JudgedSplit:
        """The films of a split (default: the evaluated one), judged by the bundle; cached.

        Held-out films count in the evaluated split only. Raises DatasetNotFound without films, and EmptyClass if all were
        refused.
        """
        name = split or self.split
        if name not in self._judged:
            observer = Observer.from_bundle(self.bundle)
            self._judged[name] = judge(self.predictor, self._films_of(name), threads=self.threads, observer=observer)
        return self._judged[name]

    def network(self) -> ChestXrayNetwork | None:
        """The bundle's network in PyTorch, in evaluation mode, with frozen weights; gradients reach its input.

        None if the weights cannot be recovered from the ONNX graph. Sets PyTorch's thread count to `threads`.
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
        """The sources that the bundle has not learnt from; see `held_out_source`."""
        return held_out_source(self.bundle.manifest.training_config)

    def holds(self, split: str) -> bool:
        """Whether `judged(split)` has films to judge."""
        return bool(self._films_of(split))

    def _films_of(self, split: str) -> list[FilmFile]:
        # A reference must know no more sources than the bundle does.
        held_out = "" if split == self.split else self.held_out_source
        return [film for film in self.films if film.split == split and not is_held_out(film, held_out)]


def held_out_source(training_config: dict[str, Any]) -> str:
    """The sources held out of training and calibration, as `training.data.held_out` writes them; "" for none."""
    return str(training_config.get("data", {}).get("held_out_source", ""))
