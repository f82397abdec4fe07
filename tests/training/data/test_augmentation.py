"""Each augmentation does what it is called, on its own, and only when asked for."""

from dataclasses import replace

import numpy as np
import pytest

from export.phantom import phantom_film
from service.model.findings import Finding
from training.config import AugmentConfig
from training.data.augmentation import augment

FILM = phantom_film(Finding.TUBERCULOSIS, 3, 246)
OFF = AugmentConfig(horizontal_flip=0, rotation_degrees=0, brightness=0, contrast=0, clahe=0)
# Without slack there is nothing to crop at random, so geometry is the identity.
SAME_SIZE = 246


def changed(size_px=SAME_SIZE, seed=0, **settings):
    return augment(FILM, replace(OFF, **settings), size_px, np.random.default_rng(seed))


def test_with_everything_off_a_film_passes_unchanged():
    np.testing.assert_array_equal(changed(), FILM)


def test_random_crop_takes_a_window_of_the_film():
    crop = changed(size_px=224).astype(int)
    # An interpolated crop lies within a pixel of some whole-pixel window.
    gaps = [np.abs(FILM[y : y + 224, x : x + 224] - crop).mean() for y in range(23) for x in range(23)]
    assert crop.shape == (224, 224) and min(gaps) < 4


def test_flip_mirrors_left_and_right():
    np.testing.assert_array_equal(changed(horizontal_flip=1.0), FILM[:, ::-1])


def test_rotation_stays_within_its_bound_and_keeps_the_centre():
    turned = [changed(rotation_degrees=10, seed=seed) for seed in range(5)]
    assert all(np.abs(film[118:128, 118:128].astype(int) - FILM[118:128, 118:128]).mean() < 12 for film in turned)
    assert any(np.abs(film.astype(int) - FILM).mean() > 1 for film in turned)


def test_brightness_moves_the_mean_and_contrast_the_spread():
    means = [changed(brightness=0.2, seed=seed).mean() / FILM.mean() for seed in range(20)]
    assert 0.79 < min(means) < 0.95 and 1.03 < max(means) < 1.21
    spreads = [changed(contrast=0.2, seed=seed).std() / FILM.std() for seed in range(20)]
    assert 0.78 < min(spreads) < 0.95 and 1.02 < max(spreads) < 1.22


def test_gamma_keeps_black_and_white():
    film = changed(gamma=2.0, seed=1)
    assert abs(int(film.max()) - int(FILM.max())) <= 3 and film.mean() != FILM.mean()


@pytest.mark.parametrize("name", ["clahe", "equalise", "degrade", "jpeg", "erase", "border"])
def test_a_probability_of_one_always_changes_the_film_and_zero_never(name):
    assert (changed(**{name: 1.0}) != FILM).any()
    assert (changed(**{name: 0.0}) == FILM).all()


def test_noise_is_bounded_and_degrading_loses_detail():
    noise = [np.abs(changed(noise=8.0, seed=seed).astype(int) - FILM).mean() for seed in range(10)]
    assert 1 < max(noise) < 8
    detail = lambda film: np.abs(np.diff(film.astype(int), axis=1)).mean()  # noqa: E731
    degraded = [detail(changed(degrade=1.0, seed=seed)) for seed in range(10)]
    assert max(degraded) < detail(FILM) and min(degraded) < 0.85 * detail(FILM)


def test_erasing_changes_one_rectangle_of_bounded_area():
    touched = np.argwhere(changed(erase=1.0, seed=4) != FILM)
    height, width = touched.max(axis=0) - touched.min(axis=0) + 1
    assert 0.01 < height * width / FILM.size < 0.2


def test_the_border_option_leaves_the_middle_untouched():
    film = changed(border=1.0)
    np.testing.assert_array_equal(film[40:-40, 40:-40], FILM[40:-40, 40:-40])


def test_the_same_generator_state_gives_the_same_film():
    everything = AugmentConfig(gamma=1.5, equalise=0.5, degrade=0.5, jpeg=0.5, noise=5, erase=0.5, border=0.5, scale=0.1)
    one, two = (augment(FILM, everything, 224, np.random.default_rng(9)) for _ in range(2))
    np.testing.assert_array_equal(one, two)
