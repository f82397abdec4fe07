"""Damage to films: more at every level, and the same for the same film."""

import cv2
import numpy as np
import pytest

from export.phantom import phantom_film
from service.model.findings import Finding
from training.evaluation.judging.altered import film_rng
from training.evaluation.judging.corruptions import CORRUPTIONS, LEVELS, Corruption

FILM = phantom_film(Finding.TUBERCULOSIS, seed=3, size_px=160)[:, :128]
BY_NAME = {corruption.name: corruption for corruption in CORRUPTIONS}

every_kind = pytest.mark.parametrize("corruption", CORRUPTIONS, ids=lambda corruption: corruption.name)


def damaged(corruption: Corruption, level: int, name: str = "film") -> np.ndarray:
    return corruption.apply(FILM, level, film_rng(0, name))


def distance(film: np.ndarray) -> float:
    """Mean change of a pixel, at the model's size: a crop changes the film's own."""
    side = (112, 112)
    before, after = (cv2.resize(each, side, interpolation=cv2.INTER_AREA).astype(float) for each in (FILM, film))
    return float(np.abs(after - before).mean())


@every_kind
def test_each_level_damages_more_than_the_one_before(corruption):
    assert len(corruption.strengths) == LEVELS
    for name in ("one film", "another", "a third"):
        distances = [0.0, *(distance(damaged(corruption, level, name)) for level in range(1, LEVELS + 1))]
        assert all(np.diff(distances) > 0), distances


@every_kind
def test_damage_is_grey_and_the_same_for_the_same_film(corruption):
    first, second = damaged(corruption, 3), damaged(corruption, 3)
    assert first.dtype == np.uint8
    np.testing.assert_array_equal(first, second)


def test_noise_has_the_stated_deviation():
    grey = np.full((400, 400), 128, np.uint8)
    noisy = BY_NAME["noise"].apply(grey, 3, film_rng(0, "film")).astype(float)
    assert noisy.std() == pytest.approx(16, rel=0.02)


def test_tones_change_as_stated():
    grey = np.array([[0, 100, 250]], np.uint8).repeat(3, axis=0)
    lighter = {tuple(BY_NAME["brightness"].apply(grey, 2, film_rng(seed, "film"))[0].tolist()) for seed in range(8)}
    assert lighter == {(20, 120, 255), (0, 80, 230)}
    flatter = BY_NAME["contrast"].apply(grey, 4, film_rng(0, "film"))[0]
    np.testing.assert_array_equal(flatter, np.rint(grey.mean() + 0.4 * (grey[0] - grey.mean())))
    bent = {int(BY_NAME["gamma"].apply(grey, 4, film_rng(seed, "film"))[0, 1]) for seed in range(8)}
    assert bent == {round(255 * (100 / 255) ** 2), round(255 * (100 / 255) ** 0.5)}


def test_geometry_changes_as_stated():
    assert damaged(BY_NAME["crop"], 5).shape == (120, 96)
    hidden = BY_NAME["occlusion"].apply(np.full((200, 100), 255, np.uint8), 5, film_rng(0, "film")) == 0
    assert hidden.mean() == pytest.approx(0.25, abs=0.01)
    square = np.zeros((101, 101), np.uint8)
    square[45:56, 10:21] = 255  # left of the centre
    turned = BY_NAME["rotation"].apply(square, 5, film_rng(0, "film"))
    rows, columns = np.nonzero(turned > 127)
    angle = np.degrees(np.arctan2(rows.mean() - 50, 50 - columns.mean()))
    assert abs(angle) == pytest.approx(25, abs=1)


def test_random_numbers_of_a_film_depend_on_its_name_and_the_seed_alone():
    first = film_rng(1, "test/a.jpg").random(4)
    np.testing.assert_array_equal(first, film_rng(1, "test/a.jpg").random(4))
    assert not np.array_equal(first, film_rng(1, "test/b.jpg").random(4))
    assert not np.array_equal(first, film_rng(2, "test/a.jpg").random(4))
