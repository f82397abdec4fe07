"""Running average of the weights: EMA per step or SWA per epoch (Izmailov et al., arXiv:1803.05407)."""

from typing import Any

from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn, get_swa_avg_fn

from training.config import AveragingConfig


class RunningAverage:
    """Averages a network's weights from `start_epoch` on. With kind "none", `judged` is always the network itself.

    BatchNorm statistics are averaged like weights, so SWA needs no extra pass over the data to compute them.
    """

    def __init__(self, network: nn.Module, config: AveragingConfig) -> None:
        self._network, self._config, self._epoch = network, config, 0
        self._model: AveragedModel | None = None
        if config.kind == "ema":
            self._model = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(config.decay), use_buffers=True)
        elif config.kind == "swa":
            # Not the default: it averages all tensors at once on CUDA, and fails on BatchNorm's integer counters.
            self._model = AveragedModel(network, avg_fn=get_swa_avg_fn(), use_buffers=True)

    def begin_epoch(self, epoch: int) -> None:
        """Set the number of the epoch that now runs, from 1."""
        self._epoch = epoch

    def after_step(self) -> None:
        """Include the weights of this optimiser step, if the average is an EMA."""
        self._update("ema")

    def after_epoch(self) -> None:
        """Include the weights of this epoch, if the average is an SWA."""
        self._update("swa")

    def _update(self, kind: str) -> None:
        if self._model is not None and self._config.kind == kind and self._has_begun:
            self._model.update_parameters(self._network)

    @property
    def judged(self) -> nn.Module:
        """The network to validate and to save as the best model: the average once it has begun, before that the network."""
        return self._model.module if self._model is not None and self._has_begun else self._network

    @property
    def _has_begun(self) -> bool:
        return self._epoch >= self._config.start_epoch

    def state_dict(self) -> dict[str, Any]:
        """State of the average; empty with kind "none"."""
        return self._model.state_dict() if self._model is not None else {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` gave."""
        if self._model is not None:
            self._model.load_state_dict(state)
