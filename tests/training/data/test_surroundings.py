"""Films whose lungs or surroundings were exchanged: what stays, what goes, and what is left alone."""

import cv2
import numpy as np
import pytest

from training.data.surroundings import hollow_out, replace_surroundings

SIDE = 96


def lungs(left=0.3, right=0.7, height=0.33):
    y, x = np.mgrid[0:SIDE, 0:SIDE] / SIDE
    return np.any([((x - cx) / 0.145) ** 2 + ((y - 0.5) / height) ** 2 < 1 for cx in (left, right)], axis=0)


def film(outline, inside, outside):
    return np.where(outline, inside, outside).astype(np.uint8)


def core(outline):
    """Well inside the lungs, where no fading reaches."""
    return cv2.erode(outline.astype(np.uint8), np.ones((11, 11))).astype(bool)


def far(outline):
    """Well outside, beyond the widest margin and its fading."""
    return ~cv2.dilate(outline.astype(np.uint8), np.ones((31, 31))).astype(bool)


@pytest.mark.parametrize("seed", range(8))
def test_exchanged_surroundings_keep_the_lungs_and_nothing_else(seed):
    own, other = lungs(), lungs(0.33, 0.66, 0.3)
    pattern = np.random.default_rng(99).integers(90, 110, (SIDE, SIDE))
    picture = film(own, 60, pattern)
    changed = replace_surroundings(picture, own, film(other, 20, 230), other, np.random.default_rng(seed))
    assert changed.dtype == np.uint8 and changed.shape == picture.shape
    assert np.abs(changed[core(own)].astype(int) - 60).max() <= 1
    around = changed[far(own)]
    assert around.std() == 0 or np.corrcoef(around, pattern[far(own)])[0, 1] < 0.2


def test_the_other_films_lungs_come_to_lie_behind_ones_own():
    own = lungs()
    smaller = np.array([[0.7, 0, 22], [0, 0.8, 2]])
    other = cv2.warpAffine(own.astype(np.uint8), smaller, (SIDE, SIDE)).astype(bool)
    seen = 0
    for seed in range(12):
        changed = replace_surroundings(film(own, 60, 100), own, film(other, 5, 230), other, np.random.default_rng(seed))
        if np.median(changed[far(own)]) == 230:
            seen += 1
            # What shows of the other's lungs would bring its class along.
            assert np.mean(changed < 40) < 0.01
    assert seen >= 3, "half of the films should be put onto another film"


@pytest.mark.parametrize("seed", range(8))
def test_a_hollow_film_keeps_its_surroundings_and_loses_its_lungs(seed):
    own = lungs()
    pattern = np.random.default_rng(99).integers(0, 256, (SIDE, SIDE)).astype(np.uint8)
    changed = hollow_out(pattern, own, np.random.default_rng(seed))
    np.testing.assert_array_equal(changed[far(own)], pattern[far(own)])
    # Blurring keeps what is left of the average, never the pattern.
    inside = changed[core(own)]
    assert inside.std() == 0 or abs(np.corrcoef(inside, pattern[core(own)])[0, 1]) < 0.3


def test_films_without_a_usable_outline_stay_as_they_are():
    picture, nothing = film(lungs(), 60, 100), np.zeros((SIDE, SIDE), bool)
    rng = np.random.default_rng(0)
    assert replace_surroundings(picture, nothing, picture, lungs(), rng) is picture
    assert hollow_out(picture, nothing, rng) is None


def test_another_film_without_an_outline_is_never_put_around_the_lungs():
    own = lungs()
    for seed in range(12):
        other = np.full((SIDE, SIDE), 231, np.uint8)
        changed = replace_surroundings(
            film(own, 60, 100), own, other, np.zeros((SIDE, SIDE), bool), np.random.default_rng(seed)
        )
        assert np.median(changed[far(own)]) != 231


def test_the_same_seed_gives_the_same_film():
    own, picture = lungs(), film(lungs(), 60, 100)
    first, second = (hollow_out(picture, own, np.random.default_rng(5)) for _ in range(2))
    np.testing.assert_array_equal(first, second)
