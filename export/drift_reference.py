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

# Films that a finding counts for that none was called: against a share of nothing, any film would be endless drift.
_FILMS_OF_NONE = 0.5


def build_reference(
    statistics: Sequence[Mapping[str, float]],
    probabilities: NetworkValues,
    embeddings: NetworkValues,
    components: NetworkValues | None,
) -> DriftReference:
    """Film statistics of some films; confidence, predicted class and embedding components of the same or others.

    At export these are the training films and the validation films, because a network is more confident on the films it was
    trained on than on any other: a reference from the training split would show drift from the first day on.

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
    predicted = np.maximum(np.bincount(probabilities.argmax(axis=1), minlength=len(FINDINGS)), _FILMS_OF_NONE)
    return DriftReference(
        numeric=numeric,
        predicted_class=dict(zip(FINDINGS, (predicted / predicted.sum()).tolist(), strict=True)),
    )
