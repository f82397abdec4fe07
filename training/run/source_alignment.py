"""SourceAlignment: a loss term that draws the embeddings of one class from different sources together.

In most collections class and source correlate, and with cross-entropy alone a network may learn the source. This term draws the
embedding of each film towards the running means of its class in the other sources. It aligns first moments within a class,
where deep CORAL (Sun and Saenko, arXiv:1607.01719) aligns second moments of all films. Running means are kept as in center
loss (Wen et al., ECCV 2016).
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from service.model.findings import FINDINGS
from training.data.folder import FilmFile
from training.errors import ConfigError

# Decay of a running mean, for each batch that has films of its class and source.
_DECAY = 0.95


class SourceAlignment:
    """Running mean embedding of each class in each source, and the distance of films to them. Each process has its own means.

    films: of the training split, in the order of their indices. features: width of the embedding. Raises ConfigError if no
    class has films of two sources.
    """

    def __init__(self, films: Sequence[FilmFile], features: int, device: torch.device) -> None:
        names = sorted({film.source for film in films})
        cells = {(film.finding, film.source) for film in films}
        if len(cells) == len({finding for finding, _ in cells}):
            raise ConfigError(
                "loss.source_alignment needs a class with training films of two sources; name the sources in manifest.csv, or "
                "leave it at 0."
            )
        self._sources = torch.tensor([names.index(film.source) for film in films], device=device)
        self._sums = torch.zeros(len(FINDINGS), len(names), features, device=device)
        self._weights = torch.zeros(len(FINDINGS), len(names), device=device)

    def loss(self, embedding: Tensor, labels: Tensor, films: Tensor) -> Tensor:
        """Mean squared distance of films to the mean of their class in other sources, in standard deviations of each feature.

        embedding: float [B, E]. labels: int64 [B], negative where a film shows no class. films: indices, int64 [B]. Zero
        until a film's class has been seen in another source.
        """
        shown = labels >= 0
        if int(shown.sum()) < 2:  # one film has no standard deviation
            return embedding.sum() * 0.0
        embedding, labels, sources = embedding[shown], labels[shown], self._sources[films.to(self._sources.device)[shown]]
        # Gradients must pass through the normalisation; else shrinking all embeddings would reduce the distances.
        embedding = functional.batch_norm(embedding, None, None, training=True)
        self._remember(embedding.detach(), labels, sources)
        means = self._sums / self._weights.clamp(min=1e-6).unsqueeze(2)
        present = (self._weights > 0).float()
        others = present[labels]
        others[torch.arange(len(labels)), sources] = 0.0
        count = others.sum(dim=1)
        held = count > 0
        if not held.any():
            return embedding.sum() * 0.0
        targets = torch.einsum("bs,bse->be", others[held] / count[held].unsqueeze(1), means[labels[held]])
        return ((embedding[held] - targets) ** 2).mean()

    def state_dict(self) -> dict[str, Tensor]:
        """The running means."""
        return {"sums": self._sums, "weights": self._weights}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Restore what `state_dict` gave."""
        self._sums.copy_(state["sums"])
        self._weights.copy_(state["weights"])

    def _remember(self, embedding: Tensor, labels: Tensor, sources: Tensor) -> None:
        for label, source in {(int(a), int(b)) for a, b in zip(labels, sources, strict=True)}:
            cell = (labels == label) & (sources == source)
            self._sums[label, source] = _DECAY * self._sums[label, source] + (1 - _DECAY) * embedding[cell].mean(dim=0)
            self._weights[label, source] = _DECAY * self._weights[label, source] + (1 - _DECAY)
