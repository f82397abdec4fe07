"""Measures a film for the decision rules: distance of its embedding from the training films', and statistics of the picture."""

from service.film.arrays import GreyPixels, NetworkValues
from service.film.film import Radiograph
from service.model.bundle import ModelBundle
from service.model.decision import Observed
from service.model.drift_reference import film_statistics
from service.model.image_checks import image_statistics
from service.model.outliers import OutlierStatistics, outlier_score, read_outlier_statistics


class Observer:
    """Measures films for one bundle. May be called by several threads at once.

    statistics: of the bundle's training films; None if the bundle has none, so that the picture alone is measured.
    """

    def __init__(self, statistics: OutlierStatistics | None) -> None:
        self.statistics = statistics
        self.needs_embedding = statistics is not None

    @classmethod
    def from_bundle(cls, bundle: ModelBundle) -> "Observer":
        """Read the bundle's statistics. Raises ManifestInvalid if they are not as the manifest describes them."""
        return cls(None if bundle.manifest.outliers is None else read_outlier_statistics(bundle))

    def observe(self, film: Radiograph, image: GreyPixels, embedding: NetworkValues | None) -> Observed:
        """film: as decoded; image: its model input, uint8 [S, S]; embedding: float32 [C], not needed without statistics."""
        if self.statistics is None or embedding is None:
            score, measured = None, film_statistics(image, film.width_px, film.height_px)
        else:
            score = outlier_score(embedding, self.statistics)
            measured = image_statistics(image, film.width_px, film.height_px, film.mean_chroma, self.statistics.mean_film)
        return Observed(score, measured, film.denies_frontal_chest, film.display_fault)
