"""Films -> probabilities as a client of the service would get them, by its decoder, preprocessing and predictor.

Films go through the graph one by one, so that the numbers depend neither on the number of threads nor on a batch size.
"""

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import softmax

from service.film.arrays import NetworkValues
from service.film.errors import InputError
from service.film.preprocessing import decode, to_model_input
from service.model.decision import NOTHING_OBSERVED, Observed
from service.model.findings import FINDINGS
from service.model.observer import Observer
from service.model.predictor import Predictor
from training.data.folder import FilmFile, fingerprint
from training.data.parallel import each_of
from training.data.subset import stratified_films
from training.errors import ConfigError, DatasetNotFound, EmptyClass
from training.evaluation.measures.confusion import Floats
from training.evaluation.measures.metrics import Judgements
from training.evaluation.measures.probes import Features

_OUTPUTS = ("probabilities", "logits", "embedding")


@dataclass(frozen=True)
class JudgedFilm:
    """A film and the outputs of the graph."""

    film: FilmFile
    probabilities: Floats  # calibrated, float [C] in the order of FINDINGS
    logits: Floats  # before division by the temperature, float [C]
    embedding: NetworkValues  # pooled features, float32 [E]
    observed: Observed = NOTHING_OBSERVED  # outlier score and image statistics, which the service's decision also uses


@dataclass(frozen=True)
class RefusedFilm:
    """A film that the service would refuse."""

    film: FilmFile
    reason: str  # the name of the error class


@dataclass(frozen=True)
class JudgedSplit:
    """The films of one split, judged."""

    judged: tuple[JudgedFilm, ...]  # in the order of their paths
    refused: tuple[RefusedFilm, ...]
    fingerprint: str  # of all films of the split, refused ones too; see `training.data.folder.fingerprint`

    def judgements(self) -> Judgements:
        """What metrics are computed from; a film without a known group is a group of its own."""
        return Judgements(
            labels=np.array([FINDINGS.index(each.film.finding) for each in self.judged]),
            probabilities=np.stack([each.probabilities for each in self.judged]),
            sources=tuple(each.film.source for each in self.judged),
            groups=tuple(each.film.group or each.film.relative for each in self.judged),
        )

    def features(self) -> Features:
        """What probes are fitted and judged on."""
        judgements = self.judgements()
        embeddings = np.stack([each.embedding for each in self.judged])
        return Features(embeddings, judgements.labels, np.array(judgements.sources), judgements.groups)

    def stratified(self, size: int, seed: int) -> "JudgedSplit":
        """At most `size` of the judged films, each class of each source in proportion; larger subsets contain the smaller."""
        return self.only({film.relative for film in stratified_films([each.film for each in self.judged], size, seed)})

    def only(self, relatives: Collection[str]) -> "JudgedSplit":
        """The judged films with these paths."""
        return replace(self, judged=tuple(each for each in self.judged if each.film.relative in relatives))

    def uncalibrated(self) -> Judgements:
        """As `judgements`, with the probabilities at temperature 1."""
        return replace(self.judgements(), probabilities=softmax(np.stack([each.logits for each in self.judged]), axis=1))


def judge(predictor: Predictor, films: Sequence[FilmFile], *, threads: int, observer: Observer | None = None) -> JudgedSplit:
    """Decode and predict every film, `threads` films at a time, with a progress bar.

    observer: of the same bundle; without one, `observed` of the films is empty. Raises ConfigError for less than one thread,
    DatasetNotFound without films and EmptyClass if all were refused.
    """
    if threads < 1:
        raise ConfigError(f"threads is {threads}; evaluation needs at least 1.")
    if not films:
        raise DatasetNotFound("The split holds no films; name one that does with --split.")
    films = sorted(films, key=lambda film: film.relative)
    results = list(each_of(films, lambda film: _judge_one(predictor, observer, film), threads=threads, title="Judging films"))
    judged = tuple(result for result, _ in results if isinstance(result, JudgedFilm))
    refused = tuple(result for result, _ in results if isinstance(result, RefusedFilm))
    if not judged:
        first = refused[0]
        raise EmptyClass(
            f"All {len(films)} films of the split were refused, {first.film.relative} as {first.reason}; check the folder."
        )
    return JudgedSplit(judged, refused, fingerprint((result.film.relative, digest) for result, digest in results))


def _judge_one(predictor: Predictor, observer: Observer | None, film: FilmFile) -> tuple[JudgedFilm | RefusedFilm, str]:
    """One film, judged or refused, and the SHA-256 of its bytes."""
    data = film.path.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    spec = predictor.manifest.preprocess
    try:
        radiograph = decode(data, spec)
    except InputError as fault:
        return RefusedFilm(film, type(fault).__name__), digest
    image = to_model_input(radiograph, spec)
    values = {name: rows[0] for name, rows in predictor.predict(image[None], _OUTPUTS).items()}
    judged = JudgedFilm(
        film=film,
        probabilities=values["probabilities"].astype(np.float64),
        logits=values["logits"].astype(np.float64),
        embedding=values["embedding"],
        observed=observer.observe(radiograph, image, values["embedding"]) if observer else NOTHING_OBSERVED,
    )
    return judged, digest
