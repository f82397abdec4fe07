"""Builds the drift reference: the distributions that the service's counts are compared with. Arrays in, DriftReference out."""

from collections.abc import Mapping, Sequence

import numpy as np

from service.film.arrays import NetworkValues
from service.model.drift_reference import (
    COMPONENT_FEATURES,
    CONFIDENCE,
    FILM_FEATURES,
    DriftReference,
    NumericReference,
    component_values,
)
from service.model.findings import FINDINGS

# Films to count for a finding that was predicted for none: with a share of 0, its first film would be infinite drift.
_FILMS_OF_ABSENT_FINDING = 0.5


def build_reference(
    statistics: Sequence[Mapping[str, float]],
    probabilities: NetworkValues,
    embeddings: NetworkValues,
    components: NetworkValues | None,
) -> DriftReference:
    """The reference, from statistics of some films and from what the network computes of the same films or others.

    At export the statistics are those of the training films, and the rest is computed of the validation films. A network is
    more confident on films that it was trained on: their confidence as a reference would show drift from the first day on.

    statistics: of `film_statistics`, at least one.
    probabilities: float32 [N, 3], N >= 1.
    embeddings: float32 [N, C], of the same films as the probabilities.
    components: of the bundle's `OutlierStatistics`, float32 [k, C]; None without such statistics.
    """
    numeric = {name: NumericReference.from_values(np.array([values[name] for values in statistics])) for name in FILM_FEATURES}
    numeric[CONFIDENCE] = NumericReference.from_values(probabilities.max(axis=1).astype(np.float64))
    if components is not None:
        along = [component_values(embedding, components) for embedding in embeddings]
        for name in COMPONENT_FEATURES:
            numeric[name] = NumericReference.from_values(np.array([values[name] for values in along]))
    predicted = np.bincount(probabilities.argmax(axis=1), minlength=len(FINDINGS))
    films = np.maximum(predicted, _FILMS_OF_ABSENT_FINDING)
    return DriftReference(
        numeric=numeric,
        predicted_class=dict(zip(FINDINGS, (films / films.sum()).tolist(), strict=True)),
    )
