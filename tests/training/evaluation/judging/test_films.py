"""Judging films as the service does."""

import cv2
import pytest

from export.phantom import phantom_film
from service.model.decision import ReviewReason
from service.model.findings import Finding
from service.model.model import Model
from service.model.observer import Observer
from service.model.predictor import Predictor
from tests.training.evaluation.conftest import SMALL_FILM
from training.data.folder import scan_folder
from training.errors import ConfigError, DatasetNotFound, EmptyClass
from training.evaluation.judging.films import judge
from training.evaluation.parts.operating_points import decide_films


def test_reasons_that_lie_in_the_film_itself_are_those_of_the_service(bundle, phantom_dataset):
    root = phantom_dataset(films_per_class={"train": 1, "val": 1, "test": 1})
    inverted = next((root / "test" / "Normal").iterdir())
    inverted.write_bytes(cv2.imencode(".png", 255 - phantom_film(Finding.NORMAL, 5, 128))[1].tobytes())
    predictor, observer = Predictor.from_bundle(bundle), Observer.from_bundle(bundle)
    split = judge(predictor, [film for film in scan_folder(root) if film.split == "test"], threads=1, observer=observer)
    model = Model(bundle, predictor, observer)
    answers = [model.predict(each.film.path) for each in split.judged]
    decisions = decide_films(split, bundle.manifest)
    assert all(vars(own).items() <= vars(answer).items() for own, answer in zip(decisions, answers, strict=True))
    assert ReviewReason.NOT_FRONTAL_CHEST in answers[0].review_reasons


def test_the_fingerprint_names_the_content_of_the_split(bundle, phantom_dataset):
    root = phantom_dataset(films_per_class={"train": 1, "val": 1, "test": 1})
    predictor = Predictor.from_bundle(bundle)

    def fingerprint() -> str:
        return judge(predictor, [film for film in scan_folder(root) if film.split == "test"], threads=1).fingerprint

    before = fingerprint()
    assert fingerprint() == before
    film = next((root / "test" / "Normal").iterdir())
    film.write_bytes(cv2.imencode(".png", phantom_film(Finding.NORMAL, 99, 128))[1].tobytes())
    assert fingerprint() != before


def test_what_cannot_be_judged_is_refused_with_a_remedy(bundle, licensed_data):
    predictor, films = Predictor.from_bundle(bundle), scan_folder(licensed_data)
    with pytest.raises(DatasetNotFound, match="holds no films"):
        judge(predictor, [], threads=1)
    with pytest.raises(EmptyClass, match=r"were refused, test/Normal/small\.png as ImageTooSmall"):
        judge(predictor, [film for film in films if film.relative == SMALL_FILM], threads=1)
    with pytest.raises(ConfigError, match="threads is 0"):
        judge(predictor, films, threads=0)
