"""The control against shortcuts: border, histogram and sharpness alone."""

from dataclasses import replace

import numpy as np

from tests.support.training.site_films import site_films
from training.commissioning.fitting.shortcuts import shortcut_auc, shortcut_features, shortcut_warning


def test_a_border_that_goes_with_the_class_is_found():
    films = site_films((30, 0, 30))
    images = films.images.copy()
    images[films.labels == 2, :3] = 0  # black at the top, as one scanner leaves it
    images[films.labels == 0, -3:] = 0  # at the bottom, as another does: the histograms are alike
    assert shortcut_auc(replace(films, images=images), 0) > 0.95


def test_a_sign_within_the_lungs_is_not():
    rng = np.random.default_rng(0)
    films = site_films((30, 0, 30))
    images = np.full_like(films.images, 128)
    for image, label in zip(images, films.labels, strict=True):
        row, column = (rng.permutation(16)[:2] + 8).tolist()
        image[row, column], image[31 - row, 31 - column] = (10, 200) if label else (200, 10)
    assert shortcut_auc(replace(films, images=images), 0) < 0.7


def test_films_that_are_all_alike_tell_nothing():
    films = site_films((20, 0, 20))
    assert shortcut_auc(replace(films, images=np.full_like(films.images, 7)), 0) == 0.5


def test_the_middle_of_the_film_is_seen_through_its_histogram_alone():
    image = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)
    turned = image.copy()
    turned[16:48, 16:48] = turned[16:48, 16:48][::-1, ::-1]
    close = np.isclose(shortcut_features(image), shortcut_features(turned))
    assert close[:-1].all()  # the last one is the sharpness, which the edges of the turned square change


def test_the_warning_gives_both_areas_where_the_control_does_nearly_as_well():
    warning = shortcut_warning(0.88, released=0.75, refitted=0.91)
    assert warning is not None
    assert "0.880" in warning
    assert "0.910" in warning
    assert "the scanner and not the lungs" in warning


def test_the_warning_is_given_where_the_control_is_as_good_as_the_released_model():
    assert shortcut_warning(0.81, released=0.75, refitted=0.91)


def test_no_warning_where_the_control_is_worse_or_tells_nothing():
    assert shortcut_warning(0.70, released=0.80, refitted=0.90) is None
    assert shortcut_warning(0.55, released=0.50, refitted=0.58) is None
