"""Which films an epoch draws, how often, and in which order. A function of (seed, epoch), so that a resumed run repeats it."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from service.model.findings import FINDINGS
from training.config import DataConfig
from training.data.folder import UNKNOWN_SOURCE, FilmFile
from training.devices import Processes
from training.errors import ConfigError


def film_weights(films: Sequence[FilmFile], config: DataConfig) -> npt.NDArray[np.float64]:
    """Probability of each film to be drawn, float64 [N], summing to 1.

    With balance "class_source" a class has probability 1 / C, and within it a source of n films has a share
    proportional to n ** (1 - source_flattening). Raises ConfigError if that is asked for and no film has a source.
    """
    if config.balance == "class_source" and all(film.source == UNKNOWN_SOURCE for film in films):
        raise ConfigError(
            'data.balance = "class_source" needs sources, and no film has one: give the data folder a manifest.csv with a '
            'column source, or set data.balance = "class".'
        )
    if config.balance == "none":
        return np.full(len(films), 1.0 / len(films))
    classes = Counter(film.finding for film in films)
    if config.balance == "class":
        weights = np.array([1.0 / classes[film.finding] for film in films])
    else:
        power = 1.0 - config.source_flattening
        cells = Counter((film.finding, film.source) for film in films)
        totals = {finding: sum(n**power for (of, _), n in cells.items() if of == finding) for finding in classes}
        share = {cell: n**power / totals[cell[0]] / n for cell, n in cells.items()}
        weights = np.array([share[(film.finding, film.source)] for film in films])
    return np.asarray(weights / weights.sum(), dtype=np.float64)


def class_weights(films: Sequence[FilmFile], config: DataConfig) -> Tensor:
    """REPORT Table 12: w_c = N / (C n_c), with n_c as the sampler draws the classes. float32 [C]."""
    drawn = film_weights(films, config)
    shares = [sum(p for p, film in zip(drawn, films, strict=True) if film.finding == finding) for finding in FINDINGS]
    return torch.tensor([1.0 / (len(FINDINGS) * share) for share in shares], dtype=torch.float32)


def epoch_order(weights: npt.NDArray[np.float64], *, balanced: bool, seed: int, epoch: int) -> npt.NDArray[np.int64]:
    """Indices of one epoch, int64 [N]: a permutation, or N draws with replacement when classes or sources are balanced."""
    rng = np.random.default_rng([seed, epoch])
    if not balanced:
        return rng.permutation(len(weights))
    return np.asarray(rng.choice(len(weights), size=len(weights), replace=True, p=weights), dtype=np.int64)


def own_share(order: npt.NDArray[np.int64], processes: Processes) -> npt.NDArray[np.int64]:
    """This process's part of an epoch. All parts are equally long, so that no process waits for a missing batch."""
    usable = len(order) - len(order) % processes.count
    return order[:usable][processes.rank :: processes.count]
