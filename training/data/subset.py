"""Random subsets of films, stratified by class and source."""

from collections.abc import Sequence

import numpy as np

from training.data.folder import FilmFile
from training.errors import ConfigError


def stratified_films(films: Sequence[FilmFile], most: int, seed: int) -> list[FilmFile]:
    """At most `most` films, in their order; each class of each source keeps about its share.

    A larger subset contains every smaller one of the same seed.
    """
    rng = np.random.default_rng(seed)
    members = np.unique([f"{film.finding}\0{film.source}" for film in films], return_inverse=True)[1]
    position = np.empty(len(films))  # of each film within its shuffled stratum, 0..1; the subset takes the lowest
    for stratum in range(members.max() + 1):
        of_stratum = np.flatnonzero(members == stratum)
        position[of_stratum] = (rng.permutation(len(of_stratum)) + 0.5) / len(of_stratum)
    order = np.lexsort((rng.permutation(len(films)), position))
    return [films[index] for index in np.sort(order[:most])]


def films_of_every_class(films: Sequence[FilmFile], most: int, seed: int) -> list[FilmFile]:
    """As `stratified_films`. Raises ConfigError if a class is left without a film."""
    drawn = stratified_films(films, most, seed)
    lost = {film.finding.value for film in films} - {film.finding.value for film in drawn}
    if lost:
        raise ConfigError(f"Of {most} films drawn none is of {', '.join(sorted(lost))}; raise --films.")
    return drawn
