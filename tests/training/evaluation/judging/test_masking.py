"""Films of which a part is hidden."""

import numpy as np
import pytest

from export.phantom import phantom_film
from service.model.findings import Finding
from tests.support.training.phantom_evidence import PhantomLungs
from training.evaluation.judging.masking import (
    BORDER_ONLY,
    LUNGS_HIDDEN,
    LUNGS_ONLY,
    OUTLINE_ALONE,
    VARIANTS,
    border,
    masked_films,
    with_lungs_of,
    with_margin,
)

FILM = phantom_film(Finding.TUBERCULOSIS, seed=5, size_px=200)[:, :160]
LUNGS = PhantomLungs().outline(FILM)


def variants(film: np.ndarray) -> dict[str, np.ndarray]:
    return masked_films(film, LUNGS, np.random.default_rng(0))


def test_every_variant_has_the_films_shape_and_type():
    made = variants(FILM)
    assert tuple(made) == VARIANTS
    assert {(each.dtype, each.shape) for each in made.values()} == {(np.dtype(np.uint8), FILM.shape)}


@pytest.mark.parametrize("name", [*LUNGS_HIDDEN, BORDER_ONLY, OUTLINE_ALONE])
def test_nothing_of_the_lungs_is_left_where_they_are_hidden(name):
    other = FILM.copy()
    other[LUNGS] = np.random.default_rng(1).permutation(other[LUNGS])  # the same tones elsewhere, so the same mean
    np.testing.assert_array_equal(variants(FILM)[name], variants(other)[name])


def test_what_is_not_hidden_stays():
    made = variants(FILM)
    far = ~LUNGS
    for name in LUNGS_HIDDEN:
        changed = made[name] != FILM
        assert changed[LUNGS].mean() > 0.9
        assert (changed & far).mean() < 0.12  # the margin
    ring = border(FILM.shape)
    np.testing.assert_array_equal(made[BORDER_ONLY][ring], FILM[ring])
    np.testing.assert_array_equal(made[LUNGS_ONLY][LUNGS], FILM[LUNGS])
    assert len(np.unique(made[LUNGS_ONLY][ring & ~with_margin(LUNGS)])) == 1


def test_inpainting_joins_the_hole_to_its_surroundings():
    even = np.full((128, 128), 90, np.uint8)
    lungs = PhantomLungs().outline(even)
    holed = np.where(lungs, np.uint8(255), even)
    np.testing.assert_allclose(masked_films(holed, lungs, np.random.default_rng(0))["lungs inpainted"], 90, atol=1)


def test_border_is_as_wide_as_stated():
    assert (~border((100, 50))).sum() == 76 * 38
    assert border((32, 32)).sum() == 32 * 32 - 24 * 24


def test_exchanged_lungs_lie_where_the_others_lay():
    film, donor = np.full((100, 80), 50, np.uint8), np.full((120, 120), 100, np.uint8)
    lungs, donor_lungs = np.zeros(film.shape, bool), np.zeros(donor.shape, bool)
    lungs[20:80, 10:70] = True
    donor_lungs[30:60, 30:90] = True
    donor[30:60, 30:60], donor[30:60, 60:90] = 150, 200
    exchanged = with_lungs_of(film, lungs, donor, donor_lungs)
    assert (exchanged[22:78, 12:38] == 150).all()
    assert (exchanged[22:78, 42:68] == 200).all()
    assert (exchanged[:15] == 50).all()
