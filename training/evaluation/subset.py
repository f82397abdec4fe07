"""Which films an expensive measurement looks at: seeded, and with the classes and sources in the proportions of the whole."""

import zlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


def stratified_subset(strata: Sequence[tuple[str, ...]], size: int, seed: int) -> npt.NDArray[np.intp]:
    """Indices of at most `size` items, ascending, each stratum as large a share of them as of all.

    strata: [N], the stratum of each item, such as (class, source). A stratum's items are put in a random order, and those that
    come first in theirs are taken first; so a larger subset holds every smaller one of the same seed.
    """
    rng = np.random.default_rng(seed)
    members = np.unique(["\0".join(stratum) for stratum in strata], return_inverse=True)[1]
    position = np.empty(len(strata))
    for stratum in range(members.max() + 1):
        of_stratum = np.flatnonzero(members == stratum)
        position[of_stratum] = (rng.permutation(len(of_stratum)) + 0.5) / len(of_stratum)
    order = np.lexsort((rng.permutation(len(strata)), position))
    return np.sort(order[:size])


def film_rng(seed: int, relative: str) -> np.random.Generator:
    """Random numbers of one film: the same whichever other films are looked at, and in whatever order."""
    return np.random.default_rng([seed, zlib.crc32(relative.encode())])
