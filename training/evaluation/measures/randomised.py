"""Does an attention map depend on what was learnt? Weights are randomised from the output down, and maps compared.

Sanity check of Adebayo et al. (arXiv:1810.03292): a map that stays as it is shows edges of the film, not the model's reasons.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import torch

from training.evaluation.judging.torch_graph import TorchGraph
from training.evaluation.measures.attention_maps import Grid

# How many layers, counted from the output, are random at each stage; the first two are the head. The last stage is all.
STAGES = (1, 2, 3, 6, 12, 24)


def randomised_stages(graph: TorchGraph, seed: int) -> Iterator[tuple[int, str]]:
    """Randomise the graph's layers cascading from the output; yields (layers random so far, name of the lowest one) per stage.

    Each weight is drawn anew from a normal distribution of its own mean and deviation, so that activations keep their size;
    biases and normalisation stay. The graph itself is changed.
    """
    names = graph.weight_names[::-1]
    generator = torch.Generator().manual_seed(seed)
    done = 0
    for stage in sorted({min(stage, len(names)) for stage in (*STAGES, len(names))}):
        for name in names[done:stage]:
            weight = graph.weight(name)
            drawn = torch.randn(weight.shape, generator=generator)
            weight.copy_(weight.mean() + weight.std(correction=0) * drawn)
        done = stage
        yield done, names[done - 1]


def grad_cam_maps(graph: TorchGraph, images: npt.NDArray[np.uint8], targets: Sequence[int]) -> list[Grid]:
    """Grad-CAM of each image's target class over `features`, through the graph; images uint8 [N, S, S] -> N maps [h, w].

    The same as `service.model.grad_cam.GradCam.grid`, but through whatever weights the graph holds now.
    """
    maps = []
    for image, target in zip(images, targets, strict=True):
        # The gradient starts at the input, for want of a leaf at the features: a small part of the cost of the forward pass.
        values = graph(torch.from_numpy(image[None]).float().requires_grad_(), ("features", "logits"))
        (gradient,) = torch.autograd.grad(values["logits"][0, target], values["features"])
        cam = torch.relu((gradient.mean(dim=(2, 3), keepdim=True) * values["features"]).sum(dim=1))[0].detach()
        strongest = cam.max()
        maps.append(np.asarray((cam / strongest if strongest > 0 else cam).numpy(), dtype=np.float32))
    return maps
