"""Grad-CAM (Selvaraju et al., arXiv:1610.02391) through the classifier head only.

The only module of the service that imports PyTorch.

The gradient of a logit with respect to the last feature map passes through pooling and head, never through the backbone. So the
feature map of the prediction's own run gives the same Grad-CAM as the whole network.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from service.film.arrays import Grid, NetworkValues
from service.model.bundle import ModelBundle
from service.model.errors import ManifestInvalid
from service.model.findings import FINDINGS, Finding
from service.model.manifest import HEAD_NAME
from service.model.site_profile import SiteHead

if TYPE_CHECKING:
    from torch import Tensor

# From top to bottom, and by the patient's sides: the patient's right is on the picture's left.
ZONE_LEVELS = ("upper", "middle", "lower")
ZONE_SIDES = ("right", "left")


class GradCam:
    """The classifier head that answers, ready to explain. `grid` may be called by several threads at once.

    head: pooled features, float tensor [1, C] -> logits [1, 3], with gradients for its input only.
    """

    def __init__(self, head: "Callable[[Tensor], Tensor]") -> None:
        self._head = head

    @classmethod
    def from_bundle(cls, bundle: ModelBundle, site_head: SiteHead | None = None) -> "GradCam":
        """Rebuild the head from head.safetensors. The first call imports PyTorch, some seconds. Raises ManifestInvalid.

        site_head: of the site profile that answers, on top of the bundle's; None if the bundle alone answers.
        """
        import torch

        # The head takes a fraction of a millisecond; more threads would only take cores from other films.
        torch.set_num_threads(1)
        head = _read_head(bundle)
        return cls(head if site_head is None else _with_site(head, site_head))

    def grid(self, features: NetworkValues, target: Finding) -> Grid:
        """Grad-CAM of the target's logit over the last feature map, float32 [C, h, w] -> float32 [h, w].

        Scaled so that the largest cell is 1; all zero if nothing in the film speaks for the target.
        """
        import torch

        feature_map = torch.from_numpy(np.ascontiguousarray(features[None])).requires_grad_()
        logits = self._head(feature_map.mean(dim=(2, 3)))
        (gradient,) = torch.autograd.grad(logits[0, FINDINGS.index(target)], feature_map)
        channel_weights = gradient.mean(dim=(2, 3), keepdim=True)
        with torch.no_grad():
            cam = torch.relu((channel_weights * feature_map).sum(dim=1))[0]
            strongest = cam.max()
            scaled = cam / strongest if strongest > 0 else cam
        return np.asarray(scaled.numpy(), dtype=np.float32)


def zone_shares(grid: Grid) -> dict[str, float]:
    """Share of the map's sum in each sixth of the film, right_upper to left_lower, summing to 1.

    A cell that a border crosses is divided by area. With an all-zero map every zone has one sixth.
    """
    total = float(grid.sum())
    if total <= 0:
        return {f"{side}_{level}": 1 / 6 for side in ZONE_SIDES for level in ZONE_LEVELS}
    rows, columns = _overlaps(grid.shape[0], len(ZONE_LEVELS)), _overlaps(grid.shape[1], len(ZONE_SIDES))
    sums = rows @ grid.astype(np.float64) @ columns.T
    shares = sums / sums.sum()
    return {
        f"{side}_{level}": float(shares[row, column])
        for column, side in enumerate(ZONE_SIDES)
        for row, level in enumerate(ZONE_LEVELS)
    }


def _overlaps(cells: int, parts: int) -> npt.NDArray[np.float64]:
    """Length of each of `cells` unit cells that lies in each of `parts` equal parts of a row, float64 [parts, cells]."""
    borders = np.linspace(0, cells, parts + 1)
    starts = np.arange(cells)
    return np.clip(np.minimum(starts + 1, borders[1:, None]) - np.maximum(starts, borders[:-1, None]), 0, None)


def _read_head(bundle: ModelBundle) -> "Callable[[Tensor], Tensor]":
    """The stack that `HeadSpec` describes, with the bundle's weights."""
    import torch
    from safetensors.torch import load_file
    from torch import nn

    path, spec = bundle.file(HEAD_NAME), bundle.manifest.head
    with torch.device("meta"):  # without weights
        head = nn.Sequential()
        head.add_module("norm_in", nn.BatchNorm1d(spec.features, spec.norm_eps))
        head.add_module("hidden", nn.Linear(spec.features, spec.hidden))
        head.add_module("relu", nn.ReLU())
        head.add_module("norm_hidden", nn.BatchNorm1d(spec.hidden, spec.norm_eps))
        head.add_module("classifier", nn.Linear(spec.hidden, spec.classes))
    try:
        head.load_state_dict(load_file(path), assign=True)
    except RuntimeError as fault:
        raise ManifestInvalid(f"{path} does not hold the manifest's head; export the model again. {fault}") from fault
    return head.requires_grad_(False).eval()


def _with_site(head: "Callable[[Tensor], Tensor]", site: SiteHead) -> "Callable[[Tensor], Tensor]":
    """The logits that `SiteHead` describes, of pooled features."""
    import torch
    from torch.nn.functional import normalize

    scale, weights, bias = (torch.tensor(values) for values in (site.scale, site.weights, site.bias))
    # An embedding is pooled features, so the path through it has a gradient of its own.
    return lambda pooled: scale * head(pooled) + normalize(pooled) @ weights.T + bias
