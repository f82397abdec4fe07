import numpy as np
import pytest

from service.model.site_profile import SiteHead
from tests.support.site_profiles import site_head

FEATURES = 1280


def test_logits_are_the_scaled_released_ones_plus_those_of_the_unit_length_embedding():
    head = SiteHead(np.array([2], np.float32), np.array([[1, 0], [0, 1], [1, 1]], np.float32), np.array([0, 1, 2], np.float32))
    released, embedding = np.array([1, 2, 3], np.float32), np.array([3, 4], np.float32)
    assert head.logits(released, embedding) == pytest.approx([2.6, 5.8, 9.4])
    exponentials = np.exp([2.6, 5.8, 9.4])
    assert head.probabilities(released, embedding) == pytest.approx(exponentials / exponentials.sum(), abs=1e-6)


def test_several_films_get_the_answers_of_each():
    random, head = np.random.default_rng(1), site_head(FEATURES)
    released = random.normal(0, 4, (5, 3)).astype(np.float32)
    embeddings = random.random((5, FEATURES)).astype(np.float32)
    together = head.probabilities(released, embeddings)
    alone = [head.probabilities(*each) for each in zip(released, embeddings, strict=True)]
    assert together.dtype == np.float32
    assert together == pytest.approx(np.array(alone), abs=1e-6)
    assert together.sum(axis=1) == pytest.approx(1)


def test_extreme_logits_and_an_empty_embedding_give_probabilities():
    head = site_head(FEATURES)
    answer = head.probabilities(np.array([9000, 0, -9000], np.float32), np.zeros(FEATURES, np.float32))
    assert answer.tolist() == [1, 0, 0]
