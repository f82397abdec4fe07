"""Distance of an embedding from those of the training films. Arrays in, score out; the threshold is in the manifest.

Class-conditional Mahalanobis distance (Lee et al., arXiv:1807.03888) of embeddings scaled to unit length (Mueller & Hein,
arXiv:2505.18032). The covariance has a few leading components and equal variance in every other direction (probabilistic PCA,
Tipping & Bishop 1999, doi:10.1111/1467-9868.00196): as good as the full covariance at telling films from other pictures, at a
twentieth of its size and a tenth of its time.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load_file

from service.film.arrays import CoarseFilm, NetworkValues
from service.model.bundle import ModelBundle
from service.model.errors import ManifestInvalid
from service.model.manifest import OUTLIERS_NAME


@dataclass(frozen=True)
class OutlierStatistics:
    """Statistics of the training films; the tensors of outliers.safetensors."""

    means: NetworkValues  # mean unit-length embedding of each class, float32 [K, C]
    components: NetworkValues  # leading directions of the variance within classes, orthonormal, float32 [k, C]
    variances: NetworkValues  # variance along each component, float32 [k], positive
    noise_variance: NetworkValues  # variance along any other direction, float32 [1], positive
    mean_film: CoarseFilm  # float32 [s, s]; see `service.model.image_checks.resemblance`


def outlier_score(embedding: NetworkValues, statistics: OutlierStatistics) -> float:
    """Squared distance to the nearest class, divided by the number of dimensions: about 1 for a film like the training films.

    embedding: pooled features, float32 [C]. An all-zero one is not scaled, and is far from every class.
    """
    unit = embedding / max(float(np.linalg.norm(embedding)), float(np.finfo(np.float32).tiny))
    deviations = unit - statistics.means
    along = np.square(deviations @ statistics.components.T)
    beside = np.square(deviations).sum(axis=1) - along.sum(axis=1)
    distances = (along / statistics.variances).sum(axis=1) + beside / statistics.noise_variance
    return float(distances.min()) / len(embedding)


def read_outlier_statistics(bundle: ModelBundle) -> OutlierStatistics:
    """Read outliers.safetensors of a bundle. Raises ManifestInvalid."""
    path = bundle.file(OUTLIERS_NAME)
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError) as fault:
        raise ManifestInvalid(f"{path} holds no tensors; export the model again. {fault}") from fault
    if not _are_complete(tensors, bundle.manifest.head.features):
        found = {name: f"{tensor.dtype} {list(tensor.shape)}" for name, tensor in sorted(tensors.items())}
        raise ManifestInvalid(
            f"{path} does not describe embeddings of {bundle.manifest.head.features} features, it holds {found}; "
            "export the model again."
        )
    return OutlierStatistics(**tensors)


def _are_complete(tensors: Mapping[str, npt.NDArray[np.generic]], features: int) -> bool:
    if set(tensors) != set(OutlierStatistics.__dataclass_fields__):
        return False
    classes, rank = len(tensors["means"]), len(tensors["components"])
    side_px = len(tensors["mean_film"])
    shapes = {
        "means": (classes, features),
        "components": (rank, features),
        "variances": (rank,),
        "noise_variance": (1,),
        "mean_film": (side_px, side_px),
    }
    return all(tensors[name].dtype == np.float32 and tensors[name].shape == shape for name, shape in shapes.items())
