"""Film files -> batches of model inputs: decoding, augmentation, loading.

Augmentation is a function of (seed, epoch, position), so that a resumed epoch repeats it with any number of loader processes.
"""

import os
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from service.film.arrays import GreyPixels, Mask
from service.film.preprocessing import PreprocessSpec, decode, resize_stretched, to_model_input
from service.model.findings import FINDINGS
from training.config import AugmentConfig, TrainConfig
from training.data.augmentation import augment
from training.data.folder import FilmFile
from training.data.lung_segmenter import LungSegmenter
from training.data.model_input import preprocess_spec
from training.data.surroundings import hollow_out, replace_surroundings
from training.errors import ConfigError

# Each decoding thread holds one film at full size: on large machines, more threads would cost much memory.
_MOST_DECODING_THREADS = 8

# Label of a film whose lungs were replaced.
NO_FINDING_SHOWN = -1


class FilmStore:
    """Decodes films, and keeps them if `cache` is set: training films before cropping, others as model input.

    side_px: side S of the decoded films. outline: finds the lungs, uint8 [S, S] -> bool [S, S].
    """

    def __init__(
        self,
        films: Sequence[FilmFile],
        spec: PreprocessSpec,
        side_px: int,
        *,
        cache: bool,
        outline: Callable[[GreyPixels], Mask] | None = None,
    ) -> None:
        self.films = films
        self._spec = spec
        self._side_px = side_px
        self._outline = outline
        self._cache = cache
        self._kept: dict[int, GreyPixels] = {}
        self._kept_lungs: dict[int, Mask] = {}

    @classmethod
    def for_training(cls, films: Sequence[FilmFile], config: TrainConfig, *, cache: bool) -> "FilmStore":
        """Films before cropping, with their lungs if the configuration needs them. Raises BundleNotFound or ManifestInvalid."""
        outline = LungSegmenter.open(Path(config.data.lungs)).outline if config.data.lungs else None
        return cls(films, preprocess_spec(config), config.augment.resize_px, cache=cache, outline=outline)

    @classmethod
    def for_evaluation(cls, films: Sequence[FilmFile], config: TrainConfig, *, cache: bool) -> "FilmStore":
        """Films as the service sees them."""
        spec = preprocess_spec(config)
        return cls(films, spec, spec.image_size_px, cache=cache)

    def lungs(self, index: int) -> Mask:
        """The lungs of film `index`, bool [S, S]. Raises ConfigError without a segmenter."""
        if index in self._kept_lungs:
            return self._kept_lungs[index]
        if self._outline is None:
            raise ConfigError("Lungs are needed, and there is no segmenter; set data.lungs.")
        lungs = self._outline(self[index])
        if self._cache:
            self._kept_lungs[index] = lungs
        return lungs

    def __getitem__(self, index: int) -> GreyPixels:
        if index in self._kept:
            return self._kept[index]
        radiograph = decode(self.films[index].path.read_bytes(), self._spec)
        if self._side_px == self._spec.image_size_px:
            image = to_model_input(radiograph, self._spec)
        else:
            image = resize_stretched(radiograph.pixels, self._side_px)
        if self._cache:
            self._kept[index] = image
        return image

    def label(self, index: int) -> int:
        """Index of the film's finding in FINDINGS."""
        return FINDINGS.index(self.films[index].finding)

    def warm(self, indices: Sequence[int], *, shows_progress: bool) -> None:
        """Fill the cache before loader processes fork, so that they share one copy."""
        missing = [index for index in indices if self._cache and index not in self._kept]
        if not missing:
            return
        # Decoders release the GIL, so threads use all cores.
        with ThreadPoolExecutor(min(_MOST_DECODING_THREADS, os.cpu_count() or 1)) as pool:
            decoded = pool.map(self.lungs if self._outline is not None else self.__getitem__, missing)
            bar = tqdm(
                decoded, total=len(missing), desc="decoding", unit="film", leave=False, dynamic_ncols=True,
                disable=not shows_progress,
            )  # fmt: skip
            deque(bar, maxlen=0)


class TrainingFilms(Dataset[tuple[Tensor, ...]]):
    """One epoch of augmented films: item -> (uint8 [S, S], label or NO_FINDING_SHOWN, index of the film in its store).

    order: indices of the epoch's films. size_px: side S. seed: augmentation is a function of it and the position in `order`.
    films_px: side to which stored films are reduced before the crop to S; None leaves them as stored.
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
        film, label = self._replace_parts(index, rng)
        return torch.from_numpy(augment(film, self._config, self._size_px, rng)), torch.tensor(label), torch.tensor(index)

    def _replace_parts(self, index: int, rng: np.random.Generator) -> tuple[GreyPixels, int]:
        """The film and its label after replacing its lungs, its surroundings or neither."""
        film, label = self._film(index), self._store.label(index)
        # One draw decides for both, because with both replaced nothing of the film would be left.
        drawn = rng.random() if self._config.surroundings or self._config.hollow else 1.0
        if drawn < self._config.hollow:
            hollow = hollow_out(film, self._lungs(index), rng)
            return (film, label) if hollow is None else (hollow, NO_FINDING_SHOWN)
        if drawn < self._config.hollow + self._config.surroundings:
            other = int(self._order[rng.integers(len(self._order))])
            film = replace_surroundings(film, self._lungs(index), self._film(other), self._lungs(other), rng)
        return film, label

    def _film(self, index: int) -> GreyPixels:
        film = self._store[index]
        if self._films_px is None:
            return film
        return np.asarray(cv2.resize(film, (self._films_px,) * 2, interpolation=cv2.INTER_AREA), dtype=np.uint8)

    def _lungs(self, index: int) -> Mask:
        lungs = self._store.lungs(index)
        if self._films_px is None:
            return lungs
        return cv2.resize(lungs.astype(np.uint8), (self._films_px,) * 2, interpolation=cv2.INTER_AREA) > 0


class EvaluationFilms(Dataset[tuple[Tensor, ...]]):
    """Films as the service sees them: item -> (uint8 [S, S], label). size_px: side to reduce them to; None leaves them."""

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
    dataset: Dataset[tuple[Tensor, ...]],
    batch_size: int,
    *,
    workers: int = 0,
    drop_last: bool = False,
    pin_memory: bool = False,
) -> DataLoader[tuple[Tensor, ...]]:
    """Loader in the dataset's own order. Batches are the dataset's items stacked: uint8 [B, S, S], int64 [B], ...

    workers: loader processes; 0 loads in this one.
    """
    return DataLoader(dataset, batch_size=batch_size, num_workers=workers, drop_last=drop_last, pin_memory=pin_memory)
