import base64
import json
import os
import shutil
import socket
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import cv2
import httpx
import imagecodecs
import numpy as np
import pytest
from pydicom import uid

from service import __version__
from service.model import load_model
from service.model.bundle import sha256_of
from service.model.decision import ReviewReason
from service.model.findings import FINDINGS
from service.model.manifest import GOLDEN_NAME, HEAD_NAME, MANIFEST_NAME
from tests.support.compressed_dicom import compressed_dicom
from tests.support.encoded_films import ORIENTATIONS, dicom_file, encode, film, lying_as, png_claiming
from tests.support.serving import environment_without_settings, serving

pytestmark = pytest.mark.slow

FILM = film(384)
PNG = encode(FILM, "PNG")
FILES = {
    "jpeg": encode(FILM, "JPEG", quality=95),
    "png": PNG,
    "tiff": encode(FILM, "TIFF"),
    "bmp": encode(FILM, "BMP"),
    "webp": encode(FILM, "WEBP", lossless=True),
    "dicom": dicom_file(FILM),
}
MAX_UPLOAD_BYTES = 2_000_000
PREDICTION_MEMBERS = {
    "request_id", "prediction_id", "model_version", "prediction", "confidence", "probabilities", "operating_point",
    "prediction_set", "review", "image", "inference_time_ms",
}  # fmt: skip


@pytest.fixture(scope="module")
def address(bundle_path):
    environment = environment_without_settings()
    settings = {
        "CXR_BUNDLE": str(bundle_path),
        "CXR_MAX_UPLOAD_BYTES": str(MAX_UPLOAD_BYTES),
        "CXR_MAX_PIXELS": "1000000",
        "CXR_TIMEOUT_SECONDS": "115",  # a busy machine may take long to import PyTorch
    }
    with serving(environment | settings) as address:
        yield address


@pytest.fixture(scope="module")
def client(address):
    with httpx.Client(base_url=address, timeout=120) as client:
        yield client


def as_form(data, **options):
    return {"files": {"image": ("film", data)}, "data": options}


def assert_problem(response, status, kind=None):
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert {"type", "title", "status", "detail", "request_id"} <= set(problem)
    assert problem["status"] == status
    assert problem["request_id"] == response.headers["X-Request-ID"]
    assert "Traceback" not in response.text
    if kind is not None:
        assert problem["type"] == f"urn:chest-xray:problem:{kind}"
    return problem


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
        (dicom_file(FILM, WindowCenter=128, WindowWidth=0), "image_quality"),
        (compressed_dicom(FILM, uid.RLELossless, WindowCenter=128, WindowWidth=0), "image_quality"),
        (encode(np.random.default_rng(6).integers(0, 256, FILM.shape, dtype=np.uint8), "PNG"), "out_of_distribution"),
    ],
    ids=["inverted", "coloured", "blank", "window of no width", "the same, decoded elsewhere", "noise"],
)
def test_a_picture_unlike_the_training_films_is_answered_and_flagged_for_review(client, data, reason):
    for answer in (
        client.post("/predict", content=data).json(),
        client.post("/predict/explain", content=data).json(),
        client.post("/predict/batch", files=[("images", data)]).json()["results"][0],
    ):
        assert reason in answer["review"]["reasons"]
        assert answer["review"]["required"]


@pytest.mark.parametrize("content_type", ["image/jpg", "text/plain", "application/json", "multipart/form-data", ""])
def test_a_raw_body_is_read_whatever_type_is_declared(client, content_type):
    assert client.post("/predict", content=PNG, headers={"Content-Type": content_type}).status_code == 200


def test_the_operating_point_comes_from_the_query_or_the_form(client):
    by_query = client.post("/predict?operating_point=tb_screening", content=PNG)
    by_form = client.post("/predict", **as_form(PNG, operating_point="tb_screening"))
    by_blob = client.post("/predict", files={"image": ("film", PNG), "operating_point": ("blob", b"tb_screening")})
    for response in (by_query, by_form, by_blob):
        assert response.json()["operating_point"] == "tb_screening"


def test_an_option_that_is_given_twice_is_refused_at_every_endpoint(client):
    for path, field in (("/predict", "image"), ("/predict/explain", "image"), ("/predict/batch", "images")):
        for point in ("tb_screening", "balanced"):
            files = {field: ("film", PNG), "operating_point": ("blob", point.encode())}
            problem = assert_problem(client.post(f"{path}?operating_point=balanced", files=files), 400, "malformed-request")
            assert "'operating_point' is given more than once" in problem["detail"]


def test_a_film_without_a_file_name_is_read(client):
    padded = PNG + bytes(1_200_000)  # more than the megabyte that the framework allows a field of text
    assert client.post("/predict", files={"image": (None, PNG)}).status_code == 200
    assert client.post("/predict", files={"image": (None, padded)}).status_code == 200
    assert client.post("/predict/batch", files=[("images", (None, padded))]).json()["results"][0]["prediction"]


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


def test_a_film_that_the_client_took_for_text_is_told_how_to_be_sent(client):
    for mangled in (PNG.translate(None, b"\r\n\0"), PNG.replace(b"\r\n", b"\n")):
        assert "--data-binary" in assert_problem(client.post("/predict", content=mangled), 400, "unreadable-image")["detail"]


def test_a_lossless_jpeg_of_12_bits_is_judged_as_the_same_film_in_8(client):
    deep = (FILM.astype(np.uint32) * 4095 // 255).astype(np.uint16)
    lossless = imagecodecs.jpeg8_encode(deep, lossless=True, bitspersample=12)
    answer, expected = (client.post("/predict", content=data).json() for data in (lossless, PNG))
    assert answer["probabilities"] == pytest.approx(expected["probabilities"], abs=0.02)


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


@pytest.mark.parametrize("body", [b"", b"--b\r\nbroken", b"no boundary in sight", b"--b\r\n\r\n--b--\r\n"])
def test_a_broken_form_is_malformed(client, body):
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    assert_problem(client.post("/predict", content=body, headers=headers), 400, "malformed-request")


def test_a_declared_length_over_the_limit_is_refused_without_reading(address):
    parts = urlsplit(address)
    with socket.create_connection((parts.hostname, parts.port), timeout=30) as connection:
        connection.sendall(f"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: {MAX_UPLOAD_BYTES + 1}\r\n\r\n".encode())
        answer = connection.recv(65536)
    assert b" 413 " in answer.split(b"\r\n")[0]
    assert b"application/problem+json" in answer


def test_a_chunked_body_is_cut_off_at_the_limit(address):
    parts = urlsplit(address)
    chunk = b"%x\r\n" % 500_000 + b"x" * 500_000 + b"\r\n"
    with socket.create_connection((parts.hostname, parts.port), timeout=30) as connection:
        connection.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(MAX_UPLOAD_BYTES // 500_000 + 1):
            connection.sendall(chunk)
        answer = connection.recv(65536)  # the body never ended
    assert b" 413 " in answer.split(b"\r\n")[0]


def test_a_batch_answers_in_order_and_a_bad_film_fails_alone(client):
    films = [PNG, b"not a film", FILES["dicom"], REFUSED["image-too-small"][1]]
    response = client.post("/predict/batch", files=[("images", data) for data in films])
    assert response.status_code == 200, response.text
    answer = response.json()
    assert set(answer) == {"request_id", "model_version", "results"}
    results = answer["results"]
    assert [result["index"] for result in results] == [0, 1, 2, 3]
    assert [result.get("image", {}).get("format") for result in results] == ["png", None, "dicom", None]
    assert [results[place]["error"]["status"] for place in (1, 3)] == [415, 422]
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
    "attributes",
    [
        {"PatientOrientation": ["A", "F"]},
        {"ViewPosition": "LAO"},
        {"BodyPartExamined": "KNEE"},
        {"FieldOfViewHorizontalFlip": "YES"},
    ],
    ids=str,
)
def test_a_header_that_denies_a_frontal_chest_is_flagged_by_every_endpoint(client, attributes):
    data = dicom_file(FILM, **attributes)
    for answer in (
        client.post("/predict", content=data).json(),
        client.post("/predict/explain", content=data).json(),
        client.post("/predict/batch", files=[("images", data)]).json()["results"][0],
    ):
        assert "not_frontal_chest" in answer["review"]["reasons"]
        assert answer["image"]["orientation"] == "assumed"


def test_who_accepts_png_gets_the_overlay_itself(client):
    response = client.post("/predict/explain", content=PNG, headers={"Accept": "image/png"})
    assert response.headers["content-type"] == "image/png"
    overlay = cv2.imdecode(np.frombuffer(response.content, np.uint8), cv2.IMREAD_UNCHANGED)
    assert overlay.shape[2] == 3
    assert response.headers["X-Request-ID"]


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
def test_an_explanation_comes_as_the_type_that_the_client_would_rather_have(client, accept, content_type):
    response = client.post("/predict/explain", content=PNG, headers=accept)
    assert response.headers["content-type"] == content_type
    refused = client.post("/predict/explain", content=b"not a film", headers=accept)
    assert_problem(refused, 415)


def test_many_clients_get_the_answers_to_their_own_films(client):
    films = [encode(film(256, seed), "PNG") for seed in range(6)]
    alone = [client.post("/predict", content=data).json()["probabilities"] for data in films]
    with ThreadPoolExecutor(6) as threads:
        together = list(threads.map(lambda data: client.post("/predict", content=data).json()["probabilities"], films * 2))
    for one, other in zip(alone * 2, together, strict=True):
        assert one == pytest.approx(other, abs=1e-6)


def test_model_info_is_the_manifest_without_the_training_configuration(client, bundle_path):
    info = client.get("/model/info").json()
    manifest = json.loads((bundle_path / MANIFEST_NAME).read_text("utf-8"))
    assert "training_config" not in info
    assert info["version"] == "1.0.0"
    assert info["files"] == manifest["files"]
    assert set(info["operating_points"]) == set(manifest["operating_points"])


def test_health_names_the_model(client):
    assert client.get("/health").json() == {"status": "ok", "model_version": "1.0.0", "fallback_in_use": False}


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/nowhere", 404), ("POST", "/predict/nowhere", 404), ("GET", "/predict", 405), ("POST", "/health", 405)],
)
def test_wrong_paths_and_methods_are_problems(client, method, path, status):
    assert_problem(client.request(method, path), status)


def test_bentomls_own_refusals_are_problems(client):
    headers = {"Content-Type": "application/vnd.bentoml+pickle"}
    assert_problem(client.post("/predict", content=PNG, headers=headers), 415)


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/healthz", "/metrics", "/health", "/docs", "/docs.json", "/nowhere"])
def test_every_answer_carries_the_clients_request_id(client, path):
    assert client.get(path, headers={"X-Request-ID": "my-id.1"}).headers["X-Request-ID"] == "my-id.1"
    assert len(client.get(path).headers["X-Request-ID"]) == 36


def test_the_request_id_is_also_in_the_body(client):
    response = client.post("/predict", content=PNG, headers={"X-Request-ID": "my-id.2"})
    assert response.json()["request_id"] == response.headers["X-Request-ID"] == "my-id.2"


def test_metrics_show_stages_requests_and_the_model(client):
    client.post("/predict/explain", content=PNG)
    client.post("/predict", content=b"not a film")
    metrics = client.get("/metrics").text
    for stage in ("read", "decode", "preprocess", "infer", "observe", "explain"):
        assert f'cxr_stage_seconds_bucket{{le="0.0005",stage="{stage}"}}' in metrics
    assert 'cxr_rejections_total{problem="unsupported-format"}' in metrics
    assert 'cxr_request_seconds_bucket{endpoint="/predict",le="0.03",status="415"}' in metrics
    assert 'cxr_model_info{version="1.0.0"} 1.0' in metrics
    assert "cxr_model_fallback_in_use 0.0" in metrics
    assert "cxr_requests_in_flight" in metrics


def value_of(client, series):
    """Of one series of /metrics; 0 if it is not there."""
    lines = [line for line in client.get("/metrics").text.splitlines() if line.startswith(f"{series} ")]
    return float(lines[0].split()[-1]) if lines else 0.0


def test_a_judged_film_is_counted_by_finding_confidence_reasons_and_bins(client):
    answer = client.post("/predict", content=PNG).json()
    names = [
        f'cxr_predictions_total{{finding="{answer["prediction"]}",version="1.0.0"}}',
        'cxr_confidence_count{version="1.0.0"}',
        f'cxr_drift_bin_total{{bin="{answer["prediction"]}",feature="predicted_class",version="1.0.0"}}',
        *(f'cxr_reviews_total{{reason="{reason}",version="1.0.0"}}' for reason in answer["review"]["reasons"]),
        *(['cxr_films_for_review_total{version="1.0.0"}'] if answer["review"]["required"] else []),
    ]
    before = [value_of(client, name) for name in names]
    confidences = value_of(client, 'cxr_confidence_sum{version="1.0.0"}')
    client.post("/predict", content=PNG)
    assert [value_of(client, name) - value for name, value in zip(names, before, strict=True)] == [1] * len(names)
    rise = value_of(client, 'cxr_confidence_sum{version="1.0.0"}') - confidences
    assert rise == pytest.approx(max(answer["probabilities"].values()), abs=1e-6)


def test_a_refused_film_is_a_rejection_and_no_prediction(client):
    refused, judged = 'cxr_rejections_total{problem="unsupported-format"}', 'cxr_confidence_count{version="1.0.0"}'
    before = value_of(client, refused), value_of(client, judged)
    client.post("/predict", content=b"not a film")
    client.post("/predict/batch", files=[("images", b"not a film"), ("images", PNG)])
    assert (value_of(client, refused), value_of(client, judged)) == (before[0] + 2, before[1] + 1)


def test_a_film_that_is_reported_twice_counts_once(client):
    answer = client.post("/predict", content=PNG).json()
    other = next(name for name in FINDINGS if name != answer["prediction"])
    labels = f'true="{answer["prediction"]}",version="1.0.0"'
    agreed = f'cxr_feedback_total{{predicted="{answer["prediction"]}",{labels}}}'
    place = str(min(int(answer["confidence"] * 10), 9))
    in_bin = [f'cxr_feedback_bin{part}_total{{bin="{place}",version="1.0.0"}}' for part in ("", "_correct", "_confidence")]
    counts = (agreed, *in_bin, 'cxr_incidents_total{version="1.0.0"}', 'cxr_feedback_corrections_total{version="1.0.0"}')
    before = [value_of(client, name) for name in counts]
    said = {"prediction_id": answer["prediction_id"]}
    corrected = []
    for label in (answer["prediction"], answer["prediction"], other):
        corrected.append(client.post("/feedback", json=said | {"label": label}).json()["corrected_from"])
    for label in ({}, {"label": answer["prediction"]}):
        corrected.append(client.post("/incidents", json=said | label | {"case_id": "case-1"}).json()["corrected_from"])
    assert corrected == [None, None, answer["prediction"], None, other]
    rises = [value_of(client, name) - value for name, value in zip(counts, before, strict=True)]
    assert rises == pytest.approx([1, 1, 1, answer["confidence"], 1, 2])


def test_the_first_label_of_a_film_counts_whichever_report_brings_it(client):
    answer = client.post("/predict", content=encode(film(256, seed=51), "PNG")).json()
    other = next(name for name in FINDINGS if name != answer["prediction"])
    missed = f'cxr_feedback_total{{predicted="{answer["prediction"]}",true="{other}",version="1.0.0"}}'
    before = value_of(client, missed)
    said = {"prediction_id": answer["prediction_id"], "label": other}
    assert client.post("/incidents", json=said | {"case_id": "case-1"}).json()["corrected_from"] is None
    assert client.post("/feedback", json=said).json()["corrected_from"] is None
    assert value_of(client, missed) - before == 1


def test_the_queue_is_empty_when_nobody_waits_and_its_limit_is_told(client):
    assert "cxr_queue_depth 0.0" in client.get("/metrics").text
    assert "cxr_queue_limit 64.0" in client.get("/metrics").text


def test_paths_that_strangers_make_up_add_no_series_to_the_metrics(client):
    for number in range(5):
        assert_problem(client.get(f"/made-up-{number}"), 404)
    metrics = client.get("/metrics").text
    assert "made-up" not in metrics
    assert 'cxr_request_seconds_count{endpoint="unknown",status="404"}' in metrics


def test_openapi_describes_every_route(client):
    document = client.get("/docs.json").json()
    assert {"/predict", "/predict/batch", "/predict/explain", "/model/info", "/health"} <= set(document["paths"])
    assert {"/feedback", "/incidents", "/audit", "/model/reload"} <= set(document["paths"])
    assert document["info"]["version"] == __version__
    predict = document["paths"]["/predict"]["post"]
    assert set(predict["requestBody"]["content"]) == {"multipart/form-data", "application/octet-stream"}
    form = predict["requestBody"]["content"]["multipart/form-data"]["schema"]
    batch = document["paths"]["/predict/batch"]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]
    for film_schema in (form["properties"]["image"], batch["properties"]["images"]["items"]):
        assert (film_schema["type"], film_schema["format"]) == ("string", "binary")
    assert [parameter["name"] for parameter in document["paths"]["/predict/explain"]["post"]["parameters"]] == [
        "operating_point",
        "target",
        "film",
    ]
    assert {"200", "400", "401", "403", "413", "415", "422", "429", "503", "504"} == set(predict["responses"])
    assert set(predict["responses"]["200"]["content"]["application/json"]["schema"]["properties"]) == PREDICTION_MEMBERS


def test_openapi_says_what_each_review_reason_means(client):
    reasons = client.get("/docs.json").json()["components"]["schemas"]["ReviewReason"]
    assert reasons["enum"] == [reason.value for reason in ReviewReason]
    assert all(f"{reason.value}: " in reasons["description"] for reason in ReviewReason)


def test_openapi_says_what_an_orientation_means(client):
    orientation = client.get("/docs.json").json()["components"]["schemas"]["ImageFacts"]["properties"]["orientation"]
    assert orientation["enum"] == ["stated", "assumed"]
    assert all(f"{value}: " in orientation["description"] for value in orientation["enum"])


def test_every_reference_in_the_openapi_document_resolves(client):
    document = client.get("/docs.json").json()

    def references(node):
        if isinstance(node, dict):
            for key, value in node.items():
                yield from [value] if key == "$ref" else references(value)
        elif isinstance(node, list):
            for value in node:
                yield from references(value)

    for reference in set(references(document)):
        node = document
        for step in reference.removeprefix("#/").split("/"):
            node = node[step]


def test_the_documentation_page_loads_from_this_server_alone(client):
    page = client.get("/docs").text
    assert "http" not in page.replace("https://", "http").split("<body>")[1]
    assert "googletagmanager" not in page
    for asset in ("swagger-ui.css", "swagger-ui-bundle.js", "swagger-initializer.js"):
        assert f"./static_content/{asset}" in page
        assert client.get(f"/static_content/{asset}").status_code == 200


@pytest.mark.parametrize("fault", ["golden-mismatch", "hash-mismatch"])
def test_a_bundle_that_cannot_be_trusted_keeps_the_service_alive_but_not_ready(bundle_path, tmp_path, fault):
    path = tmp_path / "tampered"
    shutil.copytree(bundle_path, path)
    if fault == "golden-mismatch":
        with np.load(path / GOLDEN_NAME) as arrays:
            golden = {name: arrays[name] for name in arrays.files}
        golden["probabilities"] = golden["probabilities"][:, ::-1]
        np.savez(path / GOLDEN_NAME, **golden)
        manifest = json.loads((path / MANIFEST_NAME).read_text("utf-8"))
        manifest["files"][GOLDEN_NAME] = sha256_of(path / GOLDEN_NAME)
        (path / MANIFEST_NAME).write_text(json.dumps(manifest), "utf-8")
    else:
        (path / HEAD_NAME).write_bytes(b"other weights")
    with (
        serving(os.environ | {"CXR_BUNDLE": str(path)}, wait_for="/livez") as address,
        httpx.Client(base_url=address) as client,
    ):
        assert_problem(client.get("/readyz"), 503)
        health = client.get("/health")
        assert health.status_code == 503
        assert health.json()["status"] == "unavailable"
        assert health.json()["reason"] == fault
        assert str(path) not in health.text
        for response in (client.post("/predict", content=PNG), client.post("/predict/explain", content=PNG)):
            assert_problem(response, 503, "model-unavailable")
            assert response.headers["Retry-After"] == "30"
        assert_problem(client.get("/model/info"), 503, "model-unavailable")


@pytest.fixture(scope="module")
def narrow_address(bundle_path):
    settings = {"CXR_BUNDLE": str(bundle_path), "CXR_THREADS": "1", "CXR_QUEUE_LIMIT": "10", "CXR_TIMEOUT_SECONDS": "5"}
    with serving(os.environ | settings) as address:
        yield address


def test_what_does_not_fit_in_the_queue_is_told_to_come_back(narrow_address):
    slow = encode(np.zeros((7000, 7000), np.uint8), "PNG")  # fifty kilobytes that take a tenth of a second to decode
    batch = {"files": [("images", slow)] * 10}
    with httpx.Client(base_url=narrow_address, timeout=90) as client, ThreadPoolExecutor(4) as threads:
        responses = list(threads.map(lambda _: client.post("/predict/batch", **batch), range(4)))
    refused = [response for response in responses if response.status_code == 503]
    assert refused
    for response in refused:
        assert_problem(response, 503, "overloaded")
        assert response.headers["Retry-After"] == "1"


@pytest.mark.parametrize("path", ["/predict", "/feedback", "/incidents"])
def test_a_body_that_never_comes_is_out_of_time(narrow_address, path):
    parts = urlsplit(narrow_address)
    with socket.create_connection((parts.hostname, parts.port), timeout=30) as connection:
        connection.sendall(b"POST " + path.encode() + b" HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n")
        answer = connection.recv(65536)
    assert b" 504 " in answer.split(b"\r\n")[0]
    assert b"application/problem+json" in answer
