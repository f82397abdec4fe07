"""Random subsets of films that keep the shares of classes and sources."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from training.data.folder import FilmFile
from training.errors import ConfigError


def stratified_films(films: Sequence[FilmFile], most: int, seed: int) -> list[FilmFile]:
    """At most `most` films, in their order; each class of each source keeps about its share."""
    return [films[index] for index in stratified_subset(film_strata(films), most, seed)]


def films_of_every_class(films: Sequence[FilmFile], most: int, seed: int) -> list[FilmFile]:
    """As `stratified_films`. Raises ConfigError if a class is left without a film."""
    drawn = stratified_films(films, most, seed)
    lost = {film.finding.value for film in films} - {film.finding.value for film in drawn}
    if lost:
        raise ConfigError(f"Of {most} films drawn none is of {', '.join(sorted(lost))}; raise --films.")
    return drawn


def film_strata(films: Sequence[FilmFile]) -> list[tuple[str, ...]]:
    """Class and source of each film."""
    return [(film.finding.value, film.source) for film in films]


def stratified_subset(strata: Sequence[tuple[str, ...]], size: int, seed: int) -> npt.NDArray[np.intp]:
    """Indices of at most `size` items, ascending, each stratum as large a share of them as of all.

    strata: [N], the stratum of each item, such as (class, source). Each stratum is shuffled and taken from its front, so that
    a larger subset contains every smaller one of the same seed.
    """
    rng = np.random.default_rng(seed)
    members = np.unique(["\0".join(stratum) for stratum in strata], return_inverse=True)[1]
    position = np.empty(len(strata))
    for stratum in range(members.max() + 1):
        of_stratum = np.flatnonzero(members == stratum)
        position[of_stratum] = (rng.permutation(len(of_stratum)) + 0.5) / len(of_stratum)
    order = np.lexsort((rng.permutation(len(strata)), position))
    return np.sort(order[:size])
