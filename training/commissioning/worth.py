"""Trials of commissioning in sources of a data folder: `cxr evaluate BUNDLE --commission 20,40,80 --sources sakha`.

Only a source that the bundle was trained without can stand for an unseen hospital.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from threadpoolctl import threadpool_limits
from tqdm import tqdm

from service.model.bundle import ModelBundle
from service.model.findings import FINDINGS
from service.model.manifest import ModelManifest
from service.model.predictor import Predictor
from training.commissioning.cases import SiteFilms
from training.commissioning.films.cases import labelled_cases
from training.commissioning.films.folder import FoundFilm
from training.commissioning.films.read import read_films
from training.commissioning.fitting.folds import LEAST_FILMS
from training.commissioning.trial import Trial, run_trials
from training.data.folder import FilmFile, scan_folder
from training.data.held_out import learns_nothing_of
from training.errors import DatasetError


def try_commissioning(
    bundle: ModelBundle, data: Path, sources: Sequence[str], per_class: Sequence[int], draws: int
) -> list[Trial]:
    """Trials of each source, with each of these numbers of films of every class. Raises DatasetError or CommissioningError."""
    every, trials = scan_folder(data, required=()), []
    films_of = {source: [film for film in every if film.source == source] for source in sources}
    for source, films in films_of.items():
        if not films:
            known = ", ".join(sorted({film.source for film in every}))
            raise DatasetError(f"There are no films of the source {source!r} in {data}; known: {known}.")
        require_films_left_over(films, per_class)
        if has_learnt_from(source, bundle.manifest):
            print(
                f"Warning: {bundle.path.name} was trained on films of {source}; what follows says nothing of a hospital that "
                "it has never seen.",
                file=sys.stderr,
            )
    for source, films in films_of.items():
        site = _read_site(bundle, films)
        for count in per_class:
            trials_of_source = run_trials(source, site, bundle.manifest, count, draws)
            with threadpool_limits(limits=1, user_api="blas"):  # more threads would slow down these many small fits
                trials += tqdm(
                    trials_of_source, desc=f"{source}, {count} films a class", total=draws, unit="draw", disable=None
                )
    return trials


def require_films_left_over(films: Sequence[FilmFile], per_class: Sequence[int]) -> None:
    """Raise DatasetError if `per_class` films are too few to commission with, or may leave no patient of a class to judge on.

    films: of one source. per_class: films of each class to commission with, one number for each trial.
    """
    if min(per_class) < LEAST_FILMS:
        raise DatasetError(f"Commissioning takes {LEAST_FILMS} films of a class or more, not {min(per_class)}.")
    for finding in FINDINGS:
        patients = {film.group or film.relative for film in films if film.finding is finding}
        if 0 < len(patients) <= max(per_class):
            raise DatasetError(
                f"{films[0].source} has films of {len(patients)} patients with {finding.value}: after {max(per_class)} films "
                "none may be left to judge on; commission with fewer, or leave this source out."
            )


def has_learnt_from(source: str, manifest: ModelManifest) -> bool:
    """Whether films of the source were in the folder that the bundle was trained on, and were not held out."""
    measured = manifest.test_metrics
    known = measured.get("trained_on_this_folder", False) and source in measured["per_source"]
    return known and not learns_nothing_of(source, manifest.training_config.get("data", {}).get("held_out_source", ""))


def _read_site(bundle: ModelBundle, films: Sequence[FilmFile]) -> SiteFilms:
    """Films of a data folder, as `cxr commission` reads those of a site."""
    found = [FoundFilm(film.path, film.relative, film.finding, film.group) for film in films]
    read = read_films(bundle, Predictor.from_bundle(bundle), found, threads=os.cpu_count() or 1)
    return labelled_cases(read.used, bundle.manifest)
