"""Unlabelled films of a site: what can be said of them without knowing the truth."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from service.model.manifest import ModelManifest
from training.commissioning.cases import Unlabelled
from training.evaluation.measures.confusion import FilmMask


def commission_unlabelled(
    logits: npt.NDArray[np.float64],
    outlier_scores: npt.NDArray[np.float64],
    manifest: ModelManifest,
    patients: Sequence[str],
    unusual_images: FilmMask | None = None,
    seed: int = 0,
) -> Unlabelled:
    """Estimate the shares of the classes, and the share of films unlike the training films. At least one film.

    logits: released, before temperature, [N, 3]. outlier_scores, patients, unusual_images: as in `SiteFilms`, [N].
    manifest: of the bundle. seed: of the bootstrap samples.
    """
    raise NotImplementedError
