import numpy as np
import pytest

from service.model.drift_reference import film_statistics
from service.model.image_checks import coarsen, image_statistics, resemblance
from tests.conftest import phantom_inputs

FILMS, _ = phantom_inputs(range(40, 52))


@pytest.fixture(scope="module")
def mean_film() -> np.ndarray:
    mean = np.mean([coarsen(film, 16) for film in phantom_inputs(range(12))[0]], axis=0)
    return ((mean - mean.mean()) / mean.std()).astype(np.float32)


def test_resemblance_is_the_correlation_of_the_coarse_films(mean_film):
    for film in FILMS:
        coarse = film.reshape(16, 14, 16, 14).mean(axis=(1, 3))
        expected = np.corrcoef(coarse.ravel(), mean_film.ravel())[0, 1]
        assert resemblance(film, mean_film) == pytest.approx(expected, abs=1e-5)


def test_chests_resemble_the_mean_chest_and_inverted_ones_are_its_opposite(mean_film):
    for film in FILMS:
        upright = resemblance(film, mean_film)
        assert upright > 0.5
        assert resemblance(255 - film, mean_film) == pytest.approx(-upright, abs=1e-5)
        assert resemblance(np.ascontiguousarray(np.rot90(film)), mean_film) < upright - 0.2


@pytest.mark.parametrize("level", [0, 128, 255])
def test_a_blank_picture_resembles_nothing(mean_film, level):
    assert resemblance(np.full((224, 224), level, np.uint8), mean_film) == 0


def test_statistics_are_those_of_the_drift_reference_and_three_of_the_picture(mean_film):
    statistics = image_statistics(FILMS[0], 300, 200, 12.5, mean_film)
    of_film = film_statistics(FILMS[0], 300, 200)
    assert statistics["aspect_ratio"] == 1.5 and statistics["chroma"] == 12.5
    assert statistics["resemblance"] == resemblance(FILMS[0], mean_film)
    assert {name: statistics[name] for name in of_film} == of_film
