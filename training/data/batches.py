"""Validated films -> batches: decoding, drawing order, augmentation, class weights.

Every draw is a function of (seed, epoch, position): a resumed epoch sees the same films in the same order, changed the
same way, whatever the number of loader workers.
"""

import os
from collections import Counter, deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from service.film.preprocessing import PreprocessSpec, decode, resize_stretched, to_model_input
from service.model.findings import FINDINGS
from training.config import AugmentConfig, DataConfig
from training.data.augmentation import augment
from training.data.folder import UNKNOWN_SOURCE, FilmFile
from training.data.surroundings import hollow_out, replace_surroundings
from training.devices import Processes
from training.errors import ConfigError
from training.lungs.geometry import Lungs

Image = npt.NDArray[np.uint8]

# Each decoding thread holds one film at full size, so that many more of them would cost memory on large machines.
_MOST_DECODING_THREADS = 8


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
    cells = Counter((film.finding, film.source) for film in films)
    classes = Counter(film.finding for film in films)
    if config.balance == "none":
        return np.full(len(films), 1.0 / len(films))
    if config.balance == "class":
        weights = np.array([1.0 / classes[film.finding] for film in films])
    else:
        power = 1.0 - config.source_flattening
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


# The label of a film that shows no finding, because its lungs were exchanged.
NO_FINDING_SHOWN = -1


class FilmStore:
    """Decodes films, once if told to keep them. Training films are kept before cropping, others as model input.

    outline: uint8 [S, S] -> lungs, bool [S, S]; called once a film if films are kept.
    """

    def __init__(
        self,
        films: Sequence[FilmFile],
        spec: PreprocessSpec,
        side_px: int,
        *,
        cache: bool,
        outline: Callable[[Image], Lungs] | None = None,
    ) -> None:
        self.films = films
        self._spec = spec
        self._side_px = side_px
        self._outline = outline
        self._kept: list[Image | None] | None = [None] * len(films) if cache else None
        self._kept_lungs: list[Lungs | None] | None = [None] * len(films) if cache else None

    def lungs(self, index: int) -> Lungs:
        """Where the lungs of film `index` are, bool [S, S]. Raises ConfigError without an outliner."""
        kept = self._kept_lungs[index] if self._kept_lungs is not None else None
        if kept is not None:
            return kept
        if self._outline is None:
            raise ConfigError("Lungs were asked of films without a segmenter; set data.lungs.")
        lungs = self._outline(self[index])
        if self._kept_lungs is not None:
            self._kept_lungs[index] = lungs
        return lungs

    def __getitem__(self, index: int) -> Image:
        kept = self._kept[index] if self._kept is not None else None
        if kept is not None:
            return kept
        radiograph = decode(self.films[index].path.read_bytes(), self._spec)
        if self._side_px == self._spec.image_size_px:
            image = to_model_input(radiograph, self._spec)
        else:
            image = resize_stretched(radiograph.pixels, self._side_px)
        if self._kept is not None:
            self._kept[index] = image
        return image

    def label(self, index: int) -> int:
        """Position of the film's finding in FINDINGS."""
        return FINDINGS.index(self.films[index].finding)

    def warm(self, indices: Sequence[int], *, shows_progress: bool) -> None:
        """Decode the films to be kept now, before loader workers fork, so that all of them share one copy."""
        if self._kept is None:
            return
        missing = [index for index in indices if self._kept[index] is None]
        if not missing:
            return
        # Decoders let go of the interpreter's lock, so that threads use all cores.
        with ThreadPoolExecutor(min(_MOST_DECODING_THREADS, os.cpu_count() or 1)) as pool:
            decoded = pool.map(self.lungs if self._outline is not None else self.__getitem__, missing)
            bar = tqdm(
                decoded, total=len(missing), desc="decoding", unit="film", leave=False, dynamic_ncols=True,
                disable=not shows_progress,
            )  # fmt: skip
            deque(bar, maxlen=0)


class TrainingFilms(Dataset[tuple[Tensor, ...]]):
    """One epoch of augmented films: item -> (uint8 [S, S], label, index of the film in its store).

    The label is NO_FINDING_SHOWN where the lungs are gone.

    size_px: side S. films_px: side to which stored films are reduced before the crop to S; None leaves them as stored.
    """

    def __init__(
        self,
        store: FilmStore,
        order: npt.NDArray[np.int64],
        config: AugmentConfig,
        size_px: int,
        seed: list[int],
        films_px: int | None = None,
    ) -> None:
        self._store, self._order, self._config, self._seed = store, order, config, seed
        self._size_px, self._films_px = size_px, films_px

    def __len__(self) -> int:
        return len(self._order)

    def __getitem__(self, position: int) -> tuple[Tensor, Tensor, Tensor]:
        index = int(self._order[position])
        rng = np.random.default_rng([*self._seed, position])
        film, label = self._change_parts(index, rng)
        return torch.from_numpy(augment(film, self._config, self._size_px, rng)), torch.tensor(label), torch.tensor(index)

    def _change_parts(self, index: int, rng: np.random.Generator) -> tuple[Image, int]:
        """Exchange the lungs or what surrounds them, or neither."""
        film, label = self._film(index), self._store.label(index)
        # One draw for both: films without lungs and without surroundings would show nothing.
        drawn = rng.random() if self._config.surroundings or self._config.hollow else 1.0
        if drawn < self._config.hollow:
            hollow = hollow_out(film, self._lungs(index), rng)
            return (film, label) if hollow is None else (hollow, NO_FINDING_SHOWN)
        if drawn < self._config.hollow + self._config.surroundings:
            other = int(self._order[rng.integers(len(self._order))])
            film = replace_surroundings(film, self._lungs(index), self._film(other), self._lungs(other), rng)
        return film, label

    def _film(self, index: int) -> Image:
        film = self._store[index]
        if self._films_px is None:
            return film
        return np.asarray(cv2.resize(film, (self._films_px,) * 2, interpolation=cv2.INTER_AREA), dtype=np.uint8)

    def _lungs(self, index: int) -> Lungs:
        lungs = self._store.lungs(index)
        if self._films_px is None:
            return lungs
        return cv2.resize(lungs.astype(np.uint8), (self._films_px,) * 2, interpolation=cv2.INTER_AREA) > 0


class EvaluationFilms(Dataset[tuple[Tensor, ...]]):
    """Films exactly as the service sees them: item -> (uint8 [S, S], label). size_px: reduced to this side, if given."""

    def __init__(self, store: FilmStore, indices: Sequence[int], size_px: int | None = None) -> None:
        self._store, self._indices, self._size_px = store, indices, size_px

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, position: int) -> tuple[Tensor, Tensor]:
        index = self._indices[position]
        film = np.array(self._store[index])
        if self._size_px is not None:
            film = resize_stretched(film, self._size_px)
        return torch.from_numpy(film), torch.tensor(self._store.label(index))


def batches(
    dataset: Dataset[tuple[Tensor, ...]], *, batch_size: int, workers: int, drop_last: bool, pin_memory: bool
) -> DataLoader[tuple[Tensor, ...]]:
    """Loader in the dataset's own order. Batches are the dataset's items stacked: uint8 [B, S, S], int64 [B], ..."""
    return DataLoader(dataset, batch_size=batch_size, num_workers=workers, drop_last=drop_last, pin_memory=pin_memory)


def own_share(order: npt.NDArray[np.int64], processes: Processes) -> npt.NDArray[np.int64]:
    """This process's part of an epoch; all parts are equally long, so that no process waits for a missing batch."""
    usable = len(order) - len(order) % processes.count
    return order[:usable][processes.rank :: processes.count]
