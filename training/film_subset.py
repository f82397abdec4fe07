"""Which films a short experiment looks at: seeded, and with classes and sources in the proportions of the whole."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from training.folder import FilmFile


def stratified_films(films: Sequence[FilmFile], most: int, seed: int) -> list[FilmFile]:
    """At most `most` films in their given order, each class of each source with about the share that it has among all.

    The films of each class and source are put in a random order, and those that come first in theirs are taken first; so a
    larger subset holds every smaller one of the same seed.
    """
    rng = np.random.default_rng(seed)
    cells: dict[tuple[str, str], list[int]] = defaultdict(list)
    for index, film in enumerate(films):
        cells[film.finding.value, film.source].append(index)
    place = np.empty(len(films))
    for _, members in sorted(cells.items()):
        place[members] = (rng.permutation(len(members)) + 0.5) / len(members)
    chosen = np.sort(np.lexsort((rng.permutation(len(films)), place))[:most])
    return [films[index] for index in chosen]
