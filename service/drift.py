"""Counts films and answers in the bins of a drift reference, the bundle's or the site's, for Prometheus to compute drift."""

from collections.abc import Mapping, Sequence

from pydantic import ValidationError

from service.film.arrays import NetworkValues
from service.metrics import DRIFT_BIN, DRIFT_OUT_OF_RANGE, DRIFT_REFERENCE_FILMS, DRIFT_REFERENCE_SHARE, model_labels
from service.model.bundle import ModelBundle
from service.model.drift_reference import CONFIDENCE, PREDICTED_CLASS, DriftReference, NumericReference, component_values
from service.model.errors import ManifestInvalid
from service.model.findings import FINDINGS
from service.model.manifest import DRIFT_REFERENCE_NAME
from service.model.site_profile import SiteProfile


class DriftCounter:
    """Counts films for one bundle. May be called by several threads at once.

    reference: of the bundle, or of the site that it serves.
    components: float32 [k, C], for the component features of the reference; not needed if it has none.
    model: values of MODEL_LABELS. They label every count, because another bundle or profile has other bins.
    """

    def __init__(self, reference: DriftReference, components: NetworkValues | None, model: tuple[str, str]) -> None:
        # Create every series at zero, so that Prometheus counts a bin's first film as an increase.
        self._numeric = {name: _NumericCounter(name, numeric, model) for name, numeric in reference.numeric.items()}
        self._classes = [DRIFT_BIN.labels(*model, PREDICTED_CLASS, finding.value) for finding in FINDINGS]
        self._components = components if reference.components else None
        for feature, label, share in reference.shares():
            DRIFT_REFERENCE_SHARE.labels(*model, feature, label).set(share)
        for feature, films in reference.films().items():
            DRIFT_REFERENCE_FILMS.labels(*model, feature).set(films)

    @classmethod
    def from_bundle(
        cls, bundle: ModelBundle, components: NetworkValues | None, profile: SiteProfile | None = None
    ) -> "DriftCounter | None":
        """A counter with the profile's own reference if it has one, else with the bundle's; None if neither has one.

        Raises ManifestInvalid if the bundle's reference cannot be read, or has more components than its outlier statistics.
        """
        reference = None if profile is None else profile.drift_reference()
        if reference is None:
            reference = _read_reference(bundle)
        if reference is None:
            return None
        if reference.components > (0 if components is None else len(components)):
            raise ManifestInvalid(
                f"The drift reference has more components than the outlier statistics of {bundle.path}; export the model again."
            )
        return cls(reference, components, model_labels(bundle.manifest.version, None if profile is None else profile.site))

    def count(self, image: Mapping[str, float], probabilities: Sequence[float], embedding: NetworkValues | None) -> None:
        """Count one judged film.

        image: at least its `film_statistics`.
        probabilities: calibrated, [3], in the order of `FINDINGS`.
        embedding: float32 [C]; not needed without components.
        """
        values = {**image, CONFIDENCE: max(probabilities)}
        if self._components is not None and embedding is not None:
            values |= component_values(embedding, self._components)
        for name, counter in self._numeric.items():
            if name in values:
                counter.count(values[name])
        self._classes[probabilities.index(max(probabilities))].inc()


def _read_reference(bundle: ModelBundle) -> DriftReference | None:
    if DRIFT_REFERENCE_NAME not in bundle.manifest.files:
        return None
    path = bundle.file(DRIFT_REFERENCE_NAME)
    try:
        return DriftReference.model_validate_json(path.read_bytes())
    except (ValidationError, OSError) as fault:
        raise ManifestInvalid(f"{path} is not a valid drift reference; export the model again. {fault}") from fault


class _NumericCounter:
    """The bins of one number. Their series are looked up beforehand, so that a film is counted in microseconds."""

    def __init__(self, feature: str, reference: NumericReference, model: tuple[str, str]) -> None:
        self._reference = reference
        self._bins = [DRIFT_BIN.labels(*model, feature, str(index)) for index in range(len(reference.shares))]
        self._out_of_range = DRIFT_OUT_OF_RANGE.labels(*model, feature)

    def count(self, value: float) -> None:
        self._bins[self._reference.bin_of(value)].inc()
        if not self._reference.in_range(value):
            self._out_of_range.inc()
