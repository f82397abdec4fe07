from dataclasses import replace

import numpy as np
import pytest
from sklearn.covariance import LedoitWolf
from sklearn.decomposition import PCA

from export.films import Films
from export.outliers import BOUND_SHARE, fit_spec, fit_statistics, score_threshold
from service.model.decision import Observed, ReviewReason, unusual_aspects
from service.model.image_checks import image_statistics
from service.model.manifest import OutlierSpec
from service.model.outliers import OutlierStatistics, outlier_score
from tests.conftest import phantom_inputs
from training.errors import ExportError

FEATURES = 24
ALONG = np.random.default_rng(0).normal(size=(3, FEATURES))


def made_films(seeds: range) -> Films:
    images, labels = phantom_inputs(seeds)
    count = len(images)
    return Films(images, labels, np.full((count, 2), 300), np.zeros(count))


def embeddings_of(films: Films, seed: int, spread: float = 1.0) -> np.ndarray:
    """Classes with different means, three directions of large spread, and a little noise; float32 [N, FEATURES]."""
    rng = np.random.default_rng(seed)
    means = 20 + 3 * np.eye(3, FEATURES)[films.labels]
    along = rng.normal(size=(len(films.labels), 3)) @ ALONG
    return (means + spread * (along + 0.2 * rng.normal(size=means.shape))).astype(np.float32)


@pytest.fixture(scope="module")
def training() -> Films:
    return made_films(range(60))


@pytest.fixture(scope="module")
def statistics(training: Films) -> OutlierStatistics:
    return fit_statistics(training, embeddings_of(training, 1), components=4)


@pytest.fixture(scope="module")
def validation() -> Films:
    return made_films(range(100, 130))


@pytest.fixture(scope="module")
def spec(statistics: OutlierStatistics, training: Films, validation: Films) -> OutlierSpec:
    return fit_spec(statistics, training, validation, embeddings_of(validation, 2))


def unusual(image: np.ndarray, spec: OutlierSpec, statistics: OutlierStatistics, chroma: float = 0) -> set[ReviewReason]:
    observed = image_statistics(np.ascontiguousarray(image), 300, 300, chroma, statistics.mean_film)
    return set(unusual_aspects(Observed(image=observed), spec))


def test_all_components_give_the_mahalanobis_distance_of_scikit_learns_covariance(training):
    embeddings = embeddings_of(training, 1)
    fitted = fit_statistics(training, embeddings, components=FEATURES - 1)
    unit = embeddings / np.linalg.norm(embeddings.astype(float), axis=1, keepdims=True)
    means = np.stack([unit[training.labels == label].mean(axis=0) for label in range(3)])
    covariance = LedoitWolf(assume_centered=True).fit(unit - means[training.labels])
    for row, embedding in zip(unit[:10], embeddings, strict=False):
        expected = min(covariance.mahalanobis((row - mean)[None])[0] for mean in means) / FEATURES
        assert outlier_score(embedding, fitted) == pytest.approx(expected, rel=1e-2)


def test_components_are_the_leading_directions_within_classes(training, statistics):
    embeddings = embeddings_of(training, 1)
    unit = embeddings / np.linalg.norm(embeddings.astype(float), axis=1, keepdims=True)
    centred = unit - np.stack([unit[training.labels == label].mean(axis=0) for label in range(3)])[training.labels]
    expected = PCA(4).fit(centred)
    assert np.abs(statistics.components[:3] @ expected.components_[:3].T) == pytest.approx(np.eye(3), abs=1e-3)
    assert statistics.components @ statistics.components.T == pytest.approx(np.eye(4), abs=1e-5)
    assert list(statistics.variances) == sorted(statistics.variances, reverse=True)
    assert 0 < statistics.noise_variance[0] < 0.2 * statistics.variances[2]


def test_new_films_score_about_one_and_strangers_far_more():
    count = 900
    images = np.random.default_rng(6).integers(0, 256, (count, 16, 16), dtype=np.uint8)
    films = Films(images, np.arange(count) % 3, np.full((count, 2), 300), np.zeros(count))
    statistics = fit_statistics(films, embeddings_of(films, 1), components=4)
    scores = [outlier_score(embedding, statistics) for embedding in embeddings_of(films, 2)]
    strangers = [outlier_score(embedding, statistics) for embedding in embeddings_of(films, 3, spread=8)]
    assert np.mean(scores) == pytest.approx(1, abs=0.2)
    assert np.mean(np.array(strangers) > np.quantile(scores, 0.99)) > 0.95


def test_a_class_that_a_subsample_lacks_has_no_mean(training):
    two = replace(training, labels=np.minimum(training.labels, 1))
    assert len(fit_statistics(two, embeddings_of(training, 1)).means) == 2


@pytest.mark.parametrize(("value", "complaint"), [(np.nan, "not finite"), (1.0, "do not differ")])
def test_embeddings_that_say_nothing_are_refused(training, value, complaint):
    with pytest.raises(ExportError, match=complaint):
        fit_statistics(training, np.full((len(training.labels), FEATURES), value, np.float32))


@pytest.mark.parametrize(("flagged", "above"), [(0, 4), (1, 3), (4, 0), (9, 0)])
def test_score_and_checks_share_what_may_be_flagged(flagged, above):
    """Of 481 films, 1 % are four: what the image checks have flagged leaves less for the score."""
    scores = np.random.default_rng(4).gamma(20, 0.05, 481)
    by_image = np.arange(481) < flagged
    threshold = score_threshold(scores, by_image, 0.01)
    assert (scores[~by_image] > threshold).sum() == above
    assert (scores[~by_image] > threshold - 2e-4).sum() == above + 1, "the lowest such threshold"


def test_the_threshold_leaves_the_stated_share(spec, statistics, validation):
    assert spec.films == 30
    scores = [outlier_score(embedding, statistics) for embedding in embeddings_of(validation, 2)]
    assert spec.flagged_share == np.mean(np.array(scores) > spec.threshold) == 0, "1 % of 30 films is none"
    assert spec.threshold == pytest.approx(max(scores), abs=1e-4)


def test_training_and_validation_films_lie_within_the_bounds(spec, statistics, training, validation):
    assert not any(unusual(image, spec, statistics) for image in (*training.images, *validation.images))


def test_one_spoilt_film_in_a_training_set_does_not_stretch_the_bounds(statistics):
    films = made_films(range(12))
    count = int(2 / BOUND_SHARE)
    many = Films(
        np.concatenate([films.images[np.arange(count) % 12], np.zeros((1, 224, 224), np.uint8)]),
        np.arange(count + 1) % 3,
        np.full((count + 1, 2), 300),
        np.zeros(count + 1),
    )
    bounds = fit_spec(statistics, many, films, embeddings_of(films, 5)).image_bounds
    assert bounds["mean"].low is not None and bounds["mean"].low > 20
    assert bounds["contrast"].low is not None and bounds["contrast"].low > 5


def test_spoilt_films_lie_outside_the_bounds_and_slightly_tinted_ones_within(spec, statistics):
    film = made_films(range(200, 201)).images[0]
    assert unusual(film, spec, statistics) == set()
    assert unusual(255 - film, spec, statistics) >= {ReviewReason.NOT_FRONTAL_CHEST}
    assert unusual(film // 20 + 100, spec, statistics) >= {ReviewReason.IMAGE_QUALITY}
    assert unusual(film // 8, spec, statistics) >= {ReviewReason.IMAGE_QUALITY}
    assert unusual(film, spec, statistics, chroma=5) == set()
    assert unusual(film, spec, statistics, chroma=20) == {ReviewReason.NOT_FRONTAL_CHEST}


def test_a_portrait_film_is_within_the_bounds_though_all_others_were_square(spec):
    bounds = spec.image_bounds["aspect_ratio"]
    assert bounds.hold(14 / 17) and bounds.hold(17 / 14) and not bounds.hold(1 / 2.5) and not bounds.hold(2.5)


def test_the_mean_film_is_standardised_and_like_a_chest(statistics):
    mean_film = statistics.mean_film
    assert mean_film.mean() == pytest.approx(0, abs=1e-5) and mean_film.std() == pytest.approx(1, abs=1e-5)
    side = len(mean_film)
    assert mean_film[side // 2, side // 2] > mean_film[side // 2, int(0.3 * side)], "the middle is brighter than the lungs"
