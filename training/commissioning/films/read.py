"""Reads a site's films as the service would: model input, the model's answers, and the patient."""

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from service.film.arrays import GreyPixels, NetworkValues
from service.film.errors import InputError
from service.film.preprocessing import decode, to_model_input
from service.model.bundle import ModelBundle
from service.model.decision import Observed
from service.model.observer import Observer
from service.model.predictor import Predictor
from service.model.upright import set_upright
from training.commissioning.films.folder import FoundFilm
from training.commissioning.films.patients import HEADER, TABLE, Identity, merged, patient_in_header
from training.data.parallel import each_of
from training.evaluation.measures.confusion import Floats

# Reasons to leave out a film other than an error of the decoder.
UNREADABLE, DUPLICATE, CONTRADICTION = "UnreadableFile", "Duplicate", "Contradiction"


@dataclass(frozen=True)
class ReadFilm:
    """A film, and the model's answers to it."""

    film: FoundFilm
    patient: frozenset[Identity]  # all known identities of its patient, in memory only; empty if unknown
    image: GreyPixels  # model input, uint8 [S, S]
    width_px: int  # as stored
    height_px: int  # as stored
    mean_chroma: float  # see `Radiograph`
    probabilities: NetworkValues  # of the released model, float32 [3]
    logits: Floats  # before the temperature, float64 [3]
    embedding: NetworkValues  # pooled features, float32 [C]
    observed: Observed


@dataclass(frozen=True)
class LeftOutFilm:
    """A film that is not used."""

    film: FoundFilm
    reason: str  # the name of the decoder's error class, UNREADABLE, DUPLICATE or CONTRADICTION
    detail: str  # for people; may name other films


@dataclass(frozen=True)
class ReadFilms:
    """The films that are used, and those left out."""

    used: tuple[ReadFilm, ...]
    left_out: tuple[LeftOutFilm, ...]


def read_films(bundle: ModelBundle, predictor: Predictor, films: Sequence[FoundFilm], *, threads: int) -> ReadFilms:
    """Decode, set upright and judge every film, `threads` at a time; progress on stderr.

    A film that the service would refuse is left out. Of films with the same model input, whatever their headers say, only one
    is used, or none if their labels differ.
    """
    reader = _Reader(predictor, Observer.from_bundle(bundle))
    read = list(each_of(films, reader.read, threads=threads, title="Reading films"))
    refused = [each for each in read if isinstance(each, LeftOutFilm)]
    judged = [each for each in read if isinstance(each, ReadFilm)]
    pictures = _same_pictures(judged)
    copies = dict(_copies(judged, pictures))
    patients = dict(_patients(judged, pictures))
    used = tuple(replace(each, patient=patients[index]) for index, each in enumerate(judged) if index not in copies)
    left_out = sorted([*refused, *copies.values()], key=lambda each: each.film.relative)
    return ReadFilms(used, tuple(left_out))


@dataclass(frozen=True)
class _Reader:
    predictor: Predictor
    observer: Observer

    def read(self, film: FoundFilm) -> ReadFilm | LeftOutFilm:
        """Run the graph on one film alone, so that the answers depend neither on the threads nor on a batch size."""
        spec = self.predictor.manifest.preprocess
        try:
            data = film.path.read_bytes()
            radiograph = decode(data, spec)
        except OSError as fault:
            return LeftOutFilm(film, UNREADABLE, f"The file cannot be opened ({fault.strerror}); check its permissions.")
        except InputError as fault:
            return LeftOutFilm(film, type(fault).__name__, str(fault))
        if self.observer.statistics is not None:
            radiograph = set_upright(radiograph, spec, self.observer.statistics.mean_film)
        image = to_model_input(radiograph, spec)
        values = self.predictor.predict(image[None], ("probabilities", "logits", "embedding"))
        embedding = values["embedding"][0]
        return ReadFilm(
            film=film,
            patient=_identities(film, data, radiograph.format),
            image=image,
            width_px=radiograph.width_px,
            height_px=radiograph.height_px,
            mean_chroma=radiograph.mean_chroma,
            probabilities=values["probabilities"][0],
            logits=values["logits"][0].astype(np.float64),
            embedding=embedding,
            observed=self.observer.observe(radiograph, image, embedding),
        )


def _identities(film: FoundFilm, data: bytes, file_format: str) -> frozenset[Identity]:
    """The patient as labels.csv and the DICOM header name it."""
    said = {TABLE: film.patient, HEADER: patient_in_header(data) if file_format == "dicom" else None}
    return frozenset((source, identity) for source, identity in said.items() if identity)


def _same_pictures(films: Sequence[ReadFilm]) -> list[list[int]]:
    """Indices of the films, grouped by model input."""
    groups: dict[bytes, list[int]] = defaultdict(list)
    for index, each in enumerate(films):
        groups[hashlib.sha256(each.image.tobytes()).digest()].append(index)
    return list(groups.values())


def _patients(films: Sequence[ReadFilm], pictures: Sequence[list[int]]) -> Iterator[tuple[int, frozenset[Identity]]]:
    """All identities of each film's patient, by the film's index. Copies of a picture are of one patient."""
    known = merged([frozenset().union(*(films[index].patient for index in same)) for same in pictures])
    yield from ((index, patient) for same, patient in zip(pictures, known, strict=True) for index in same)


def _copies(films: Sequence[ReadFilm], pictures: Sequence[list[int]]) -> Iterator[tuple[int, LeftOutFilm]]:
    """The films to leave out, by index. Of copies with and without a label, a labelled one is used."""
    for same in pictures:
        first, *later = sorted(same, key=lambda index: films[index].film.finding is None)  # stable
        if len({films[index].film.finding for index in same} - {None}) > 1:
            # One of the labels is wrong, and nothing says which.
            detail = f"One picture with several labels: {', '.join(films[index].film.relative for index in same)}."
            yield from ((index, LeftOutFilm(films[index].film, CONTRADICTION, detail)) for index in same)
        else:
            detail = f"It is the same picture as {films[first].film.relative}."
            yield from ((index, LeftOutFilm(films[index].film, DUPLICATE, detail)) for index in later)
