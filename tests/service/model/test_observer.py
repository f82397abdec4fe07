from typing import get_args

import numpy as np
import pytest

from service.film.film import Radiograph
from service.film.preprocessing import to_model_input
from service.model.bundle import ModelBundle
from service.model.decision import FILM_REASONS, Observed, ReviewReason
from service.model.drift_reference import FILM_FEATURES, film_statistics
from service.model.manifest import ImageStatistic
from service.model.model import Model
from service.model.observer import Observer
from service.model.outliers import outlier_score, read_outlier_statistics
from service.model.predictor import Predictor
from tests.support.encoded_films import encode, film
from tests.support.manifests import make_manifest


def test_of_a_bundle_without_statistics_only_the_picture_is_measured(tmp_path):
    observer = Observer.from_bundle(ModelBundle(tmp_path, make_manifest()))
    assert not observer.needs_embedding
    radiograph = Radiograph.from_bytes(encode(film(), "PNG"))
    measured = film_statistics(film(224), radiograph.width_px, radiograph.height_px)
    assert observer.observe(radiograph, film(224), None) == Observed(image=measured)


def test_a_film_is_observed_by_score_and_statistics(bundle):
    observer = Observer.from_bundle(bundle)
    radiograph = Radiograph.from_bytes(encode(np.dstack([film(256)[:200]] * 2 + [film(256)[:200] // 2]), "PNG"))
    embedding = np.ones(bundle.manifest.head.features, np.float32)
    observed = observer.observe(radiograph, to_model_input(radiograph, bundle.manifest.preprocess), embedding)
    assert observed.outlier_score == outlier_score(embedding, read_outlier_statistics(bundle))
    assert set(observed.image) == {*FILM_FEATURES, *get_args(ImageStatistic)}
    assert observed.image["aspect_ratio"] == 256 / 200
    assert observed.image["chroma"] == radiograph.mean_chroma > 10


def test_a_bundle_without_statistics_judges_films_and_flags_none_for_what_they_look_like(bundle):
    older = ModelBundle(bundle.path, bundle.manifest.model_copy(update={"outliers": None}))
    data = encode(255 - film(), "PNG")
    predictor = Predictor.from_bundle(bundle)
    before, now = (Model(each, predictor, Observer.from_bundle(each)).predict(data) for each in (older, bundle))
    assert before.observed.outlier_score is None and set(before.observed.image) == set(FILM_FEATURES)
    assert not set(FILM_REASONS) & set(before.review_reasons)
    assert ReviewReason.NOT_FRONTAL_CHEST in now.review_reasons
    assert before.probabilities == pytest.approx(dict(now.probabilities), abs=1e-6)
