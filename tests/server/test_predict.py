"""Films that are judged, explained or refused, alone and in batches."""

import base64
import json
import socket
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
from pydicom import uid

from service.model import load_model
from service.model.findings import FINDINGS
from tests.support.compressed_dicom import compressed_dicom
from tests.support.encoded_films import ORIENTATIONS, dicom_file, encode, film, lying_as, png_claiming
from tests.support.server.problems import FILM, PNG, PREDICTION_MEMBERS, as_form, assert_problem
from tests.support.server.sockets import exchange, head

pytestmark = pytest.mark.slow

FILES = {
    "jpeg": encode(FILM, "JPEG", quality=95),
    "png": PNG,
    "tiff": encode(FILM, "TIFF"),
    "bmp": encode(FILM, "BMP"),
    "webp": encode(FILM, "WEBP", lossless=True),
    "dicom": dicom_file(FILM),
}


@pytest.mark.parametrize("format_name", FILES)
@pytest.mark.parametrize("way", ["form", "raw"])
def test_every_format_is_judged_as_a_form_and_as_the_whole_body(client, bundle_path, format_name, way):
    data = FILES[format_name]
    response = client.post("/predict", **(as_form(data) if way == "form" else {"content": data}))
    assert response.status_code == 200, response.text
    answer = response.json()
    assert set(answer) == PREDICTION_MEMBERS
    assert answer["image"] == {"format": format_name, "width_px": 384, "height_px": 384, "orientation": "assumed"}

    # To the bit, as from Python and `cxr predict`.
    expected = load_model(bundle_path).predict(data).members() | {"inference_time_ms": answer["inference_time_ms"]}
    assert {name: answer[name] for name in expected} == json.loads(json.dumps(expected))
    assert list(answer["probabilities"]) == [finding.value for finding in FINDINGS]


def test_an_answer_is_consistent_with_itself(client):
    answer = client.post("/predict", content=PNG).json()
    probabilities = answer["probabilities"]
    assert sum(probabilities.values()) == pytest.approx(1, abs=1e-5)
    assert answer["prediction"] == max(probabilities, key=probabilities.get)
    assert answer["confidence"] == probabilities[answer["prediction"]]
    assert (answer["operating_point"], answer["model_version"]) == ("balanced", "1.0.0")
    assert answer["review"]["required"] == bool(answer["review"]["reasons"])
    assert answer["inference_time_ms"] > 0


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (encode(255 - FILM, "PNG"), "not_frontal_chest"),
        (encode(np.dstack([FILM, FILM // 2, FILM // 4]), "PNG"), "not_frontal_chest"),
        (encode(FILM // 50 + 120, "PNG"), "image_quality"),
        (dicom_file(FILM, PatientOrientation=["A", "F"]), "not_frontal_chest"),
        (dicom_file(FILM, ViewPosition="LAO"), "not_frontal_chest"),
        (dicom_file(FILM, BodyPartExamined="KNEE"), "not_frontal_chest"),
        (dicom_file(FILM, FieldOfViewHorizontalFlip="YES"), "not_frontal_chest"),
        (dicom_file(FILM, WindowCenter=128, WindowWidth=0), "image_quality"),
        (compressed_dicom(FILM, uid.RLELossless, WindowCenter=128, WindowWidth=0), "image_quality"),
        (encode(np.random.default_rng(6).integers(0, 256, FILM.shape, dtype=np.uint8), "PNG"), "out_of_distribution"),
    ],
    ids=["inverted", "coloured", "blank", "lateral", "oblique", "knee", "mirrored", "no window", "no window, costly", "noise"],
)
def test_a_picture_unlike_the_training_films_is_answered_and_flagged_for_review(client, data, reason):
    for answer in (
        client.post("/predict", content=data).json(),
        client.post("/predict/explain", content=data).json(),
        client.post("/predict/batch", files=[("images", data)]).json()["results"][0],
    ):
        assert reason in answer["review"]["reasons"]
        assert answer["review"]["required"]
        assert answer["image"]["orientation"] == "assumed"


@pytest.mark.parametrize("content_type", ["image/jpg", "text/plain", "application/json", "multipart/form-data", ""])
def test_a_raw_body_is_read_whatever_type_is_declared(client, content_type):
    assert client.post("/predict", content=PNG, headers={"Content-Type": content_type}).status_code == 200


def test_the_operating_point_comes_from_the_query_or_the_form(client):
    by_query = client.post("/predict?operating_point=tb_screening", content=PNG)
    by_form = client.post("/predict", **as_form(PNG, operating_point="tb_screening"))
    by_blob = client.post("/predict", files={"image": ("film", PNG), "operating_point": ("blob", b"tb_screening")})
    for response in (by_query, by_form, by_blob):
        assert response.json()["operating_point"] == "tb_screening"


REFUSED = {
    "unsupported-format": (415, b"GIF89a and so on"),
    "unreadable-image": (400, PNG[: len(PNG) // 2]),
    "image-too-small": (422, encode(FILM[:99, :150], "PNG")),
    "aspect-ratio-too-extreme": (422, encode(FILM[:110, :], "PNG")),
    "image-too-large": (413, png_claiming(100_000, 100_000)),
    "unsupported-dicom": (422, dicom_file(FILM, NumberOfFrames=2)),
    "unsupported-image": (422, encode(FILM.astype(np.float32), "TIFF")),
}


@pytest.mark.parametrize("kind", REFUSED)
@pytest.mark.parametrize("path", ["/predict", "/predict/explain"])
def test_a_film_that_cannot_be_judged_is_the_clients_problem(client, path, kind):
    status, data = REFUSED[kind]
    assert_problem(client.post(path, content=data), status, kind)
    assert_problem(client.post(path, **as_form(data)), status, kind)


def test_an_empty_body_is_an_unsupported_format(client):
    assert_problem(client.post("/predict"), 415, "unsupported-format")


def test_unknown_options_are_refused(client):
    problem = assert_problem(client.post("/predict?operating_point=best", content=PNG), 400, "unknown-operating-point")
    assert "tb_screening" in problem["detail"]
    assert_problem(client.post("/predict/explain?target=Cancer", content=PNG), 400, "unknown-finding")


def test_a_web_address_in_place_of_a_file_is_never_fetched(client):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/film.png"
        form = {"image": (None, url)}
        problem = assert_problem(client.post("/predict", files=form), 400, "malformed-request")
        assert "never fetched" in problem["detail"]
        assert_problem(client.post("/predict", json={"image": url}), 415, "unsupported-format")
        assert_problem(client.post("/predict", data={"image": url}), 415, "unsupported-format")
        listener.settimeout(0.2)
        with pytest.raises(TimeoutError):
            listener.accept()


@pytest.mark.parametrize(
    "files",
    [[("other", PNG)], [("image", PNG), ("image", PNG)], [("images", PNG)]],
    ids=["no image", "two images", "field of the batch"],
)
def test_a_form_without_exactly_one_image_is_malformed(client, files):
    assert_problem(client.post("/predict", files=files), 400, "malformed-request")


def test_a_chunked_body_is_cut_off_at_the_limit(server):
    chunk = b"%x\r\n" % 500_000 + b"x" * 500_000 + b"\r\n"
    # 2,500,000 bytes, of 2,000,000 that are allowed; the body never ends. Without "close", the connection would stay idle.
    answer = exchange(server.address, head(b"Transfer-Encoding: chunked", b"Connection: close"), chunk * 5)
    assert answer.startswith(b"HTTP/1.1 413 ")


def test_a_batch_answers_in_order_and_a_bad_film_fails_alone(client):
    films = [PNG, b"not a film", FILES["dicom"], REFUSED["image-too-small"][1]]
    response = client.post("/predict/batch", files=[("images", data) for data in films])
    assert response.status_code == 200, response.text
    answer = response.json()
    assert set(answer) == {"request_id", "model_version", "site", "results"}
    results = answer["results"]
    assert [result["index"] for result in results] == [0, 1, 2, 3]
    assert [result.get("image", {}).get("format") for result in results] == ["png", None, "dicom", None]
    assert [results[index]["error"]["status"] for index in (1, 3)] == [415, 422]
    assert results[1]["error"]["request_id"] == response.headers["X-Request-ID"]
    alone = client.post("/predict", content=PNG).json()
    assert results[0]["probabilities"] == pytest.approx(alone["probabilities"], abs=1e-6)


@pytest.mark.parametrize("count", [1, 10])
def test_a_batch_takes_one_to_ten_films(client, count):
    response = client.post("/predict/batch?operating_point=high_sensitivity", files=[("images", PNG)] * count)
    results = response.json()["results"]
    assert len(results) == count
    assert {result["operating_point"] for result in results} == {"high_sensitivity"}


def test_a_batch_of_none_or_eleven_is_malformed(client):
    assert_problem(client.post("/predict/batch", files=[("other", PNG)]), 400, "malformed-request")
    assert_problem(client.post("/predict/batch", files=[("images", PNG)] * 11), 400, "malformed-request")
    assert_problem(client.post("/predict/batch", content=PNG), 400, "malformed-request")
    assert_problem(client.post("/predict/batch?operating_point=x", files=[("images", PNG)]), 400, "unknown-operating-point")


def test_many_clients_get_the_answers_to_their_own_films(client):
    films = [encode(film(256, seed), "PNG") for seed in range(6)]
    alone = [client.post("/predict", content=data).json()["probabilities"] for data in films]
    with ThreadPoolExecutor(6) as threads:
        together = list(threads.map(lambda data: client.post("/predict", content=data).json()["probabilities"], films * 2))
    for one, other in zip(alone * 2, together, strict=True):
        assert one == pytest.approx(other, abs=1e-6)


# Explanations


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
