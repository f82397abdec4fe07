"""What is seen of a film beside its probabilities: how far its embedding is from the training films', and its own statistics.

Reads what a bundle knows of its training films, and brings the two measures together; judges nothing.
"""

import numpy as np
import numpy.typing as npt

from service.film.film import Radiograph
from service.model.bundle import ModelBundle
from service.model.decision import Observed
from service.model.drift_reference import film_statistics
from service.model.image_checks import image_statistics
from service.model.outliers import OutlierStatistics, outlier_score, read_outlier_statistics


class Observer:
    """Observes films for one bundle; may be called by several threads at once.

    statistics: of the bundle's training films; None for a bundle that has none, of whose films the picture alone is measured.
    """

    def __init__(self, statistics: OutlierStatistics | None) -> None:
        self.statistics = statistics
        self.needs_embedding = statistics is not None

    @classmethod
    def from_bundle(cls, bundle: ModelBundle) -> "Observer":
        """Raises ManifestInvalid if the bundle's statistics are not those that its manifest promises."""
        return cls(None if bundle.manifest.outliers is None else read_outlier_statistics(bundle))

    def observe(self, film: Radiograph, image: npt.NDArray[np.uint8], embedding: npt.NDArray[np.float32] | None) -> Observed:
        """film: as decoded; image: its model input, uint8 [S, S]; embedding: float32 [C], not needed without statistics."""
        if self.statistics is None or embedding is None:
            return Observed(
                denies_frontal_chest=film.denies_frontal_chest,
                display_fault=film.display_fault,
                image=film_statistics(image, film.width_px, film.height_px),
            )
        return Observed(
            denies_frontal_chest=film.denies_frontal_chest,
            display_fault=film.display_fault,
            outlier_score=outlier_score(embedding, self.statistics),
            image=image_statistics(image, film.width_px, film.height_px, film.mean_chroma, self.statistics.mean_film),
        )
