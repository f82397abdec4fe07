"""Builds the drift reference: what the service's counts are compared with. Arrays in, DriftReference out."""

import numpy as np
import numpy.typing as npt

from export.films import Films
from service.contract.drift_reference import CONFIDENCE, FILM_FEATURES, DriftReference, NumericReference, film_statistics
from service.contract.findings import FINDINGS


def build_reference(training: Films, validation_probabilities: npt.NDArray[np.float32]) -> DriftReference:
    """Film statistics of training films; confidence and predicted class of validation probabilities, float [N, 3].

    Of the films it was fitted to, a network is surer than it will be of any other: a confidence profile of the training
    split would show drift from the first day on.
    """
    statistics = [
        film_statistics(image, int(width_px), int(height_px))
        for image, (width_px, height_px) in zip(training.images, training.sizes_px, strict=True)
    ]
    numeric = {name: NumericReference.from_values(np.array([values[name] for values in statistics])) for name in FILM_FEATURES}
    numeric[CONFIDENCE] = NumericReference.from_values(validation_probabilities.max(axis=1).astype(np.float64))
    predicted = np.bincount(validation_probabilities.argmax(axis=1), minlength=len(FINDINGS))
    return DriftReference(
        numeric=numeric,
        predicted_class=dict(zip(FINDINGS, (predicted / predicted.sum()).tolist(), strict=True)),
    )
