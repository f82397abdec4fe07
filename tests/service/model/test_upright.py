"""A DICOM header with a wrong quarter turn: the film is turned upright, and a person looks at it."""

import numpy as np
import pytest

from export.phantom import phantom_film
from service.film.film import Radiograph
from service.model import load_model
from service.model.bundle import ModelBundle
from service.model.decision import ReviewReason
from service.model.findings import FINDINGS
from service.model.observer import Observer
from service.model.upright import set_upright
from tests.support.encoded_films import ORIENTATIONS, dicom_file, lying_as
from tests.support.releases import RELEASED

FILM = phantom_film(FINDINGS[2], 3, 256)[:, :240].copy()

# What a header says if it names where rows and columns come from, of a film that lies as the other says.
BACKWARDS = {"HL": "FR", "FR": "HL", "FL": "HR", "HR": "FL"}


@pytest.fixture(scope="module")
def model():
    return load_model(RELEASED)


@pytest.fixture(scope="module")
def mean_film():
    return Observer.from_bundle(ModelBundle.open(RELEASED)).statistics.mean_film


def stored(lies, said):
    return dicom_file(lying_as(lies, FILM), PatientOrientation=list(said))


@pytest.mark.parametrize(("lies", "said"), BACKWARDS.items())
def test_a_film_that_its_header_would_set_on_its_head_is_judged_upright_and_flagged(model, lies, said):
    upright = model.predict(dicom_file(FILM))
    prediction = model.predict(stored(lies, said))
    assert prediction.probabilities == upright.probabilities
    assert (prediction.width_px, prediction.height_px, prediction.orientation) == (240, 256, "assumed")
    assert set(prediction.review_reasons) == {*upright.review_reasons, ReviewReason.NOT_FRONTAL_CHEST}


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_a_film_whose_header_is_right_is_turned_as_it_says(model, orientation):
    prediction = model.predict(stored(orientation, orientation))
    assert prediction.orientation == "stated"
    assert ReviewReason.NOT_FRONTAL_CHEST not in prediction.review_reasons


@pytest.mark.parametrize("said", ["LH", "RH", "RF"])
def test_half_turns_and_mirror_images_are_made_as_the_header_says(model, mean_film, said):
    film = Radiograph.from_bytes(stored("LF", said))
    assert set_upright(film, model.manifest.preprocess, mean_film) is film


def test_a_film_without_contrast_stays_as_its_header_says(model, mean_film):
    film = Radiograph.from_bytes(dicom_file(np.full((256, 240), 90, np.uint8), PatientOrientation=["H", "L"]))
    assert set_upright(film, model.manifest.preprocess, mean_film) is film
