"""Builds the drift reference: the distributions that the service's counts are compared with. Arrays in, DriftReference out."""

import numpy as np

from export.films import Films
from service.film.arrays import NetworkValues
from service.model.drift_reference import (
    COMPONENT_FEATURES,
    CONFIDENCE,
    FILM_FEATURES,
    DriftReference,
    NumericReference,
    component_values,
    film_statistics,
)
from service.model.findings import FINDINGS


def build_reference(
    training: Films,
    validation_probabilities: NetworkValues,
    validation_embeddings: NetworkValues,
    components: NetworkValues,
) -> DriftReference:
    """Film statistics of the training films; confidence, predicted class and embedding components of the validation films.

    The latter, because a network is more confident on the films it was trained on than on any other: a reference from the
    training split would show drift from the first day on.

    validation_probabilities: float32 [N, 3].
    validation_embeddings: float32 [N, C], of the same films.
    components: of the bundle's `OutlierStatistics`, float32 [k, C].
    """
    statistics = [
        film_statistics(image, int(width_px), int(height_px))
        for image, (width_px, height_px) in zip(training.images, training.sizes_px, strict=True)
    ]
    numeric = {name: NumericReference.from_values(np.array([values[name] for values in statistics])) for name in FILM_FEATURES}
    numeric[CONFIDENCE] = NumericReference.from_values(validation_probabilities.max(axis=1).astype(np.float64))
    along = [component_values(embedding, components) for embedding in validation_embeddings]
    for name in COMPONENT_FEATURES:
        numeric[name] = NumericReference.from_values(np.array([values[name] for values in along]))
    predicted = np.bincount(validation_probabilities.argmax(axis=1), minlength=len(FINDINGS))
    return DriftReference(
        numeric=numeric,
        predicted_class=dict(zip(FINDINGS, (predicted / predicted.sum()).tolist(), strict=True)),
    )
