"""Measures of attention maps against closed forms."""

import numpy as np
import pytest

from training.evaluation.judging.altered import film_rng
from training.evaluation.measures.attention_maps import deletion_and_insertion, random_grid, rank_correlation, share_inside


def flat(share_marked: float) -> tuple[np.ndarray, np.ndarray]:
    """A grey film [32, 32] with bright upper rows, and a map [32, 32] that attends on them more the higher they are."""
    image = np.full((32, 32), 10, np.uint8)
    image[: round(32 * share_marked)] = 250
    return image, np.linspace(1, 0, 32, dtype=np.float32)[:, None].repeat(32, axis=1)


def test_share_inside_is_the_weight_of_the_map_in_the_mask():
    mask = np.zeros((8, 8), bool)
    mask[:4] = True
    assert share_inside(np.ones((8, 8), np.float32), mask) == 0.5
    assert share_inside(mask.astype(np.float32), mask) == 1.0
    assert share_inside(np.array([[3.0], [1.0]], np.float32).repeat(4, axis=0).repeat(8, axis=1), mask) == 0.75
    assert np.isnan(share_inside(np.zeros((8, 8), np.float32), mask))


def test_deletion_and_insertion_of_a_known_linear_model():
    # The model scores the share of bright pixels left among the upper quarter, which the map marks first.
    image, grid = flat(0.25)

    def bright(images):
        return (images[:, :8] > 200).mean(axis=(1, 2))

    deletion, insertion = deletion_and_insertion(image, grid, bright)
    # Falls in a straight line from 1 to 0 over the first quarter: a triangle of 1/8. Insertion rises over the same quarter.
    assert deletion == pytest.approx(0.125, abs=0.01)
    kept, left = deletion_and_insertion(image, grid[::-1].copy(), bright)
    assert kept == pytest.approx(0.875, abs=0.01)
    assert insertion > 0.95 > left


def test_a_score_that_ignores_the_film_has_flat_curves():
    image, grid = flat(0.5)
    assert deletion_and_insertion(image, grid, lambda images: np.full(len(images), 0.3)) == pytest.approx((0.3, 0.3))


def test_curves_begin_and_end_with_the_whole_film_and_none():
    image, grid = flat(0.5)
    seen = []

    def record(images):
        seen.append(images.copy())
        return np.zeros(len(images))

    deletion_and_insertion(image, grid, record)
    deleted, inserted = seen
    np.testing.assert_array_equal(deleted[0], image)
    assert len(np.unique(deleted[-1])) == 1
    np.testing.assert_array_equal(inserted[-1], image)
    assert inserted[0].std() < image.std()


def test_rank_correlation_is_spearmans_and_undefined_for_a_constant_map():
    grid = random_grid((7, 7), film_rng(0, "film"))
    assert rank_correlation(grid, grid**3) == pytest.approx(1.0)
    assert rank_correlation(grid, -grid) == pytest.approx(-1.0)
    assert np.isnan(rank_correlation(grid, np.zeros_like(grid)))
    unrelated = [rank_correlation(grid, random_grid((7, 7), film_rng(0, str(n)))) for n in range(200)]
    assert np.mean(unrelated) == pytest.approx(0.0, abs=0.04)
