"""Films -> pooled features of a frozen backbone, computed once, so that each of many heads trains in seconds.

Augmentation, mixing and exchanged lungs change pixels as in training, but are drawn once per view instead of per epoch.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from service.model.findings import FINDINGS
from training.config import AugmentConfig, TrainConfig
from training.data.batches import EvaluationFilms, FilmStore, TrainingFilms, batches
from training.data.folder import FilmFile
from training.devices import seed_everything
from training.network.checkpoint import save_checkpoint
from training.network.classifier import ChestXrayNetwork, build_network
from training.network.pretrained import load_backbone_weights
from training.run.objective import mix, target_distributions

_BATCH = 32


@dataclass(frozen=True)
class Features:
    """Pooled features of films, in one or more views."""

    pooled: Tensor  # float32 [V, N, E]
    targets: Tensor  # float32 [V, N, C], distributions over FINDINGS without label smoothing

    def save(self, path: Path) -> None:
        """Write all of the file or nothing."""
        save_checkpoint(path, {"pooled": self.pooled, "targets": self.targets})

    @classmethod
    def load(cls, path: Path) -> "Features":
        """Read what `save` wrote."""
        return cls(**torch.load(path, map_location="cpu", weights_only=True))


class FrozenBackbone:
    """A pretrained backbone in evaluation mode; a configuration says how films are prepared for it."""

    def __init__(self, network: ChestXrayNetwork, config: TrainConfig, device: torch.device) -> None:
        self._network, self._config, self._device = network, config, device
        self.width = network.head.spec.features

    @classmethod
    def build(cls, config: TrainConfig, device: torch.device) -> "FrozenBackbone":
        """The backbone of config.model with its weights. Raises ConfigError or WeightsUnavailable."""
        seed_everything(config.run)
        network = build_network(config.model.architecture, hidden=config.model.hidden)
        load_backbone_weights(network, config.model)
        network.to(device).to(memory_format=torch.channels_last)
        return cls(network.eval(), config, device)

    def of_training_films(
        self, films: Sequence[FilmFile], augment: AugmentConfig, *, views: int, seed: int, label: str
    ) -> Features:
        """`views` augmented views of every film, with a progress bar. Views are a function of (seed, view, film) only.

        Mixup and CutMix pair films within batches of a random order, as training does.
        """
        store = FilmStore.for_training(films, replace(self._config, augment=augment), cache=views > 1)
        pooled = torch.empty(views, len(films), self.width)
        targets = torch.empty(views, len(films), len(FINDINGS))
        with tqdm(total=views * len(films), desc=label, unit="film", leave=False, dynamic_ncols=True, disable=None) as bar:
            for view in range(views):
                order = np.random.default_rng([seed, view]).permutation(len(films))
                drawn = TrainingFilms(store, order, augment, self._config.data.image_size_px, [seed, view])
                start = 0
                for images, labels, _ in batches(drawn, _BATCH):
                    rows = torch.from_numpy(order[start : start + len(labels)])
                    with torch.random.fork_rng(devices=[]):
                        torch.manual_seed(int(np.random.SeedSequence([seed, view, start]).generate_state(1)[0]))
                        mixed, mixed_targets = mix(images, target_distributions(labels), augment)
                    pooled[view, rows], targets[view, rows] = self._pool(mixed), mixed_targets
                    start += len(labels)
                    bar.update(len(labels))
        return Features(pooled, targets)

    def of_films(self, films: Sequence[FilmFile], *, label: str) -> Features:
        """One view of every film, as the service sees it, with a progress bar."""
        store = FilmStore.for_evaluation(films, self._config, cache=False)
        loader = batches(EvaluationFilms(store, range(len(films))), _BATCH)
        bar = tqdm(loader, desc=label, unit="batch", leave=False, dynamic_ncols=True, disable=None)
        parts = [(self._pool(images), target_distributions(labels)) for images, labels in bar]
        pooled, targets = (torch.cat(part).unsqueeze(0) for part in zip(*parts, strict=True))
        return Features(pooled, targets)

    @torch.inference_mode()
    def _pool(self, images: Tensor) -> Tensor:
        """uint8 or float [B, S, S], 0..255 -> float32 [B, E]."""
        normalised = self._network.normalise(images.to(self._device)).contiguous(memory_format=torch.channels_last)
        return self._network.features(normalised).mean(dim=(2, 3)).float().cpu()
