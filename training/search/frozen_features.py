"""Films -> pooled features of a frozen backbone, computed once, so that many heads can be tried in seconds each.

Augmentation, mixing and exchanged lungs act on pixels as in training; what an epoch would draw anew is drawn once a view.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from service.model.findings import FINDINGS
from training.config import AugmentConfig, TrainConfig
from training.data.batches import EvaluationFilms, FilmStore, TrainingFilms, batches
from training.data.folder import FilmFile
from training.data.model_input import preprocess_spec
from training.devices import seed_everything
from training.lungs.segmenter import LungSegmenter
from training.network.classifier import ChestXrayNetwork, build_network
from training.network.pretrained import load_backbone_weights
from training.run.loop import mix, target_distributions

_BATCH = 32


@dataclass(frozen=True)
class Features:
    """Some films as a frozen backbone sees them, in one or more views.

    pooled: float32 [V, N, E]; targets: float32 [V, N, C], distributions over FINDINGS without label smoothing.
    """

    pooled: Tensor
    targets: Tensor

    def save(self, path: Path) -> None:
        """Write atomically: a run killed while writing leaves nothing that looks whole."""
        partial = path.with_suffix(".partial")
        torch.save({"pooled": self.pooled, "targets": self.targets}, partial)
        partial.replace(path)

    @classmethod
    def load(cls, path: Path) -> "Features":
        """Read what `save` wrote."""
        return cls(**torch.load(path, map_location="cpu", weights_only=True))


class FrozenBackbone:
    """A pretrained backbone in evaluation mode, with the films' side and preprocessing of one configuration."""

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
        outline = LungSegmenter.open(Path(self._config.data.lungs)).outline if self._config.data.lungs else None
        spec = preprocess_spec(self._config)
        store = FilmStore(films, spec, augment.resize_px, cache=views > 1, outline=outline)
        pooled = torch.empty(views, len(films), self.width)
        targets = torch.empty(views, len(films), len(FINDINGS))
        with tqdm(total=views * len(films), desc=label, unit="film", leave=False, dynamic_ncols=True, disable=None) as bar:
            for view in range(views):
                order = np.random.default_rng([seed, view]).permutation(len(films))
                drawn = TrainingFilms(store, order, augment, spec.image_size_px, [seed, view])
                start = 0
                for images, labels, _ in batches(drawn, batch_size=_BATCH, workers=0, drop_last=False, pin_memory=False):
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
        spec = preprocess_spec(self._config)
        store = FilmStore(films, spec, spec.image_size_px, cache=False)
        loader = batches(
            EvaluationFilms(store, range(len(films))), batch_size=_BATCH, workers=0, drop_last=False, pin_memory=False
        )
        bar = tqdm(loader, desc=label, unit="batch", leave=False, dynamic_ncols=True, disable=None)
        parts = [(self._pool(images), target_distributions(labels)) for images, labels in bar]
        pooled, targets = (torch.cat(part).unsqueeze(0) for part in zip(*parts, strict=True))
        return Features(pooled, targets)

    @torch.inference_mode()
    def _pool(self, images: Tensor) -> Tensor:
        """uint8 or float [B, S, S], 0..255 -> float32 [B, E]."""
        normalised = self._network.normalise(images.to(self._device)).contiguous(memory_format=torch.channels_last)
        return self._network.features(normalised).mean(dim=(2, 3)).float().cpu()
