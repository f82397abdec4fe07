"""Films that are altered after decoding -> probabilities, by the service's own preprocessing and predictor."""

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from service.film.arrays import GreyPixels
from service.film.film import Radiograph
from service.film.preprocessing import PreprocessSpec, decode, to_model_input
from service.model.predictor import Predictor
from training.data.folder import FilmFile
from training.data.parallel import each_of
from training.evaluation.measures.confusion import Floats

# One film and its decoded pixels, uint8 [H, W] -> altered copies by name, the same names for every film.
Alter = Callable[[FilmFile, GreyPixels], Mapping[str, GreyPixels]]


def judge_altered(
    predictor: Predictor, films: Sequence[FilmFile], alter: Alter, *, threads: int, title: str
) -> dict[str, Floats]:
    """Judge every altered copy of every film, `threads` films at a time, with a progress bar called `title`.

    films: at least one. Returns name of the copy -> probabilities, float64 [N, C], in the order of FINDINGS. Raises InputError
    for a film that the service refuses.
    """

    def judge_one(film: FilmFile) -> dict[str, Floats]:
        radiograph = read_film(film, predictor.manifest.preprocess)
        return {name: _judge(predictor, radiograph, pixels) for name, pixels in alter(film, radiograph.pixels).items()}

    results = list(each_of(films, judge_one, threads=threads, title=title))
    return {name: np.stack([result[name] for result in results]) for name in results[0]}


def read_film(film: FilmFile, spec: PreprocessSpec) -> Radiograph:
    """One film as the service decodes it. Raises InputError."""
    return decode(film.path.read_bytes(), spec)


def film_rng(seed: int, relative: str) -> np.random.Generator:
    """Random numbers of one film; they depend neither on the other films nor on their order."""
    return np.random.default_rng([seed, zlib.crc32(relative.encode())])


def _judge(predictor: Predictor, radiograph: Radiograph, pixels: GreyPixels) -> Floats:
    image = to_model_input(replace(radiograph, pixels=pixels), predictor.manifest.preprocess)
    return predictor.predict(image[None])["probabilities"][0].astype(np.float64)
