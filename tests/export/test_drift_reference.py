"""The drift reference of some films."""

import numpy as np
import pytest

from export.drift_reference import build_reference
from service.model.drift_reference import COMPONENT_FEATURES, FILM_FEATURES
from service.model.findings import FINDINGS


def reference_of(called: list[int], components: np.ndarray | None):
    rng = np.random.default_rng(0)
    statistics = [dict(zip(FILM_FEATURES, rng.random(len(FILM_FEATURES)), strict=True)) for _ in called]
    probabilities = np.full((len(called), len(FINDINGS)), 0.1, np.float32)
    probabilities[np.arange(len(called)), called] = 0.8
    return build_reference(statistics, probabilities, rng.normal(size=(len(called), 6)).astype(np.float32), components)


def test_shares_of_findings_are_those_of_the_answers():
    reference = reference_of([0, 0, 1, 2], np.eye(6, dtype=np.float32)[:4])
    assert reference.predicted_class == dict(zip(FINDINGS, (0.5, 0.25, 0.25), strict=True))
    assert reference.components == len(COMPONENT_FEATURES)


def test_a_finding_that_no_film_was_called_is_rare_and_not_impossible():
    """Against a share of 0, Prometheus would compute endless drift for the first film that is called so."""
    reference = reference_of([0] * 10 + [2] * 9, None)
    assert reference.predicted_class[FINDINGS[1]] == pytest.approx(0.5 / 19.5)
    assert sum(reference.predicted_class.values()) == pytest.approx(1)


def test_without_statistics_of_the_embedding_its_components_have_no_reference():
    assert reference_of([0, 1, 2], None).components == 0
