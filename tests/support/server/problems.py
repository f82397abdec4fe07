"""What requests send, and what answers and problems must hold."""

from service.http.problems import MEDIA_TYPE
from tests.support.encoded_films import encode, film

FILM = film(384)
PNG = encode(FILM, "PNG")
PREDICTION_MEMBERS = {
    "request_id", "prediction_id", "model_version", "site", "prediction", "confidence", "probabilities", "operating_point",
    "prediction_set", "review", "image", "inference_time_ms",
}  # fmt: skip


def as_form(data, **options):
    return {"files": {"image": ("film", data)}, "data": options}


def assert_problem(response, status, kind=None):
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == MEDIA_TYPE
    problem = response.json()
    assert {"type", "title", "status", "detail", "request_id"} <= set(problem)
    assert problem["status"] == status
    assert problem["request_id"] == response.headers["X-Request-ID"]
    assert "Traceback" not in response.text
    if kind is not None:
        assert problem["type"] == f"urn:chest-xray:problem:{kind}"
    return problem
