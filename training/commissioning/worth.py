"""What commissioning is worth in hospitals of a data folder: `cxr evaluate BUNDLE --commission 20,40,80 --sources sakha`.

A source says something of a hospital never seen only if the bundle was trained without it.
"""

import os
from collections.abc import Sequence
from pathlib import Path

from threadpoolctl import threadpool_limits
from tqdm import tqdm

from service.model.bundle import ModelBundle
from service.model.predictor import Predictor
from training.commissioning.cases import SiteFilms
from training.commissioning.films.cases import labelled_cases
from training.commissioning.films.folder import FoundFilm
from training.commissioning.films.read import read_films
from training.commissioning.trial import Trial, attempts
from training.data.folder import FilmFile, scan_folder
from training.errors import DatasetError


def try_commissioning(
    bundle: ModelBundle, data: Path, sources: Sequence[str], per_class: Sequence[int], draws: int
) -> list[Trial]:
    """Trials of each source, with each of these numbers of films of every class. Raises DatasetError or CommissioningError."""
    every, trials = scan_folder(data, required=()), []
    for source in sources:
        films = [film for film in every if film.source == source]
        if not films:
            known = ", ".join(sorted({film.source for film in every}))
            raise DatasetError(f"There are no films of the source {source!r} in {data}; known: {known}.")
        site = _read_site(bundle, films)
        for count in per_class:
            found = attempts(source, site, bundle.manifest, count, draws)
            with threadpool_limits(limits=1, user_api="blas"):  # many small fits, which more threads slow down
                trials += tqdm(found, desc=f"{source}, {count} films a class", total=draws, unit="draw", disable=None)
    return trials


def _read_site(bundle: ModelBundle, films: Sequence[FilmFile]) -> SiteFilms:
    """Films of a data folder, as `cxr commission` reads those of a site."""
    found = [FoundFilm(film.path, film.relative, film.finding, film.group) for film in films]
    read = read_films(bundle, Predictor.from_bundle(bundle), found, threads=os.cpu_count() or 1)
    return labelled_cases(read.used, bundle.manifest)
