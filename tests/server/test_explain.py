"""Explanations, and what all endpoints say alike of a film."""

import base64
import json

import cv2
import numpy as np
import pytest
from pydicom import uid

from service.model.findings import FINDINGS
from tests.support.compressed_dicom import compressed_dicom
from tests.support.encoded_films import ORIENTATIONS, encode, lying_as
from tests.support.problems import FILM, PNG, PREDICTION_MEMBERS, as_form, assert_problem

pytestmark = pytest.mark.slow


def test_an_explanation_has_map_zones_and_pictures(client):
    wide = encode(FILM[:256], "PNG")
    answer = client.post("/predict/explain", **as_form(wide)).json()
    assert set(answer) == PREDICTION_MEMBERS | {"explanation"}
    explanation = answer["explanation"]
    assert (explanation["method"], explanation["target"]) == ("grad-cam", answer["prediction"])
    grid = np.array(explanation["grid"])
    assert grid.shape == (7, 7)
    assert grid.min() >= 0
    assert grid.max() == pytest.approx(1) or not grid.any()
    assert set(explanation["zones"]) == {
        f"{side}_{level}" for side in ("right", "left") for level in ("upper", "middle", "lower")
    }
    assert sum(explanation["zones"].values()) == pytest.approx(1)
    for name, channels in (("heatmap_png", 2), ("overlay_png", 3)):
        picture = cv2.imdecode(np.frombuffer(base64.b64decode(explanation[name]), np.uint8), cv2.IMREAD_UNCHANGED)
        assert picture.ndim == channels
        assert picture.shape[1] / picture.shape[0] == pytest.approx(1.5, abs=0.02)
    plain = client.post("/predict", content=wide).json()
    assert plain["probabilities"] == pytest.approx(answer["probabilities"], abs=1e-6)


def test_an_explanation_of_another_target_is_given_on_request(client):
    explanations = {
        finding: client.post("/predict/explain", params={"target": finding.value}, content=PNG).json()["explanation"]
        for finding in FINDINGS
    }
    assert all(explanation["target"] == finding for finding, explanation in explanations.items())
    assert len({json.dumps(explanation["grid"]) for explanation in explanations.values()}) > 1


def test_the_film_as_it_was_decoded_comes_on_request(client):
    explained = client.post("/predict/explain", params={"film": "true"}, content=PNG).json()["explanation"]
    picture = cv2.imdecode(np.frombuffer(base64.b64decode(explained["film_png"]), np.uint8), cv2.IMREAD_UNCHANGED)
    assert np.array_equal(picture, FILM)
    assert "film_png" not in client.post("/predict/explain", content=PNG).json()["explanation"]
    problem = assert_problem(client.post("/predict/explain", params={"film": "yes"}, content=PNG), 400, "malformed-request")
    assert problem["detail"] == "'film' is 'yes'; send true or false."


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("syntax", [uid.ExplicitVRLittleEndian, uid.JPEG2000Lossless])
def test_a_turned_film_is_answered_explained_and_drawn_as_the_upright_one(client, orientation, syntax):
    # DICOM PS3.3 C.7.6.1.1.1; the zones are the patient's own sides, because the film lies as its header says.
    def answers(data):
        explained = client.post("/predict/explain?film=true", content=data).json()
        alone = client.post("/predict", content=data).json()
        [of_batch] = client.post("/predict/batch", files=[("images", data)]).json()["results"]
        films = explained, alone, of_batch
        said = [[film[name] for name in ("probabilities", "prediction_set", "review")] for film in films]
        return said, explained["explanation"], [film["image"] for film in films]

    upright = FILM[:, :256].astype(np.uint16) * 257
    turned = compressed_dicom(lying_as(orientation, upright), syntax, PatientOrientation=list(orientation))
    said, explanation, images = answers(turned)
    assert (said, explanation) == answers(compressed_dicom(upright, syntax))[:2]
    assert images == [{"format": "dicom", "width_px": 256, "height_px": 384, "orientation": "stated"}] * 3


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ([("Accept", "application/json, image/png;q=0")], "application/json"),
        ([("Accept", "application/json;q=0.5"), ("Accept", "image/png")], "image/png"),
        ([("Accept", "image/*")], "image/png"),
        ([("Accept", "*/*")], "application/json"),
        ([("Accept", "image/png;q=high")], "application/json"),
    ],
)
def test_an_explanation_comes_as_json_or_as_the_overlay_itself(client, accept, content_type):
    response = client.post("/predict/explain", content=PNG, headers=accept)
    assert response.headers["content-type"] == content_type
    if content_type == "image/png":
        assert cv2.imdecode(np.frombuffer(response.content, np.uint8), cv2.IMREAD_UNCHANGED).shape[2] == 3
    refused = client.post("/predict/explain", content=b"not a film", headers=accept)
    assert_problem(refused, 415)
