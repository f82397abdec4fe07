"""Problem details and request identifiers of every answer, around an application of Starlette's."""

import uuid
from types import SimpleNamespace

import pytest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from service.http.middleware.headers import HeadersMiddleware
from service.http.middleware.problems import ProblemMiddleware
from service.settings import Settings
from tests.support.server.problems import assert_problem


@pytest.fixture
def client():
    async def refuses(request):
        return JSONResponse({"error": "a secret path"}, status_code=int(request.path_params["status"]))

    async def fails(request):
        raise RuntimeError("a secret value")

    async def raises(request):
        raise HTTPException(401, "a secret reason", headers={"WWW-Authenticate": "Bearer"})

    context = SimpleNamespace(settings=Settings())
    app = Starlette(
        routes=[
            Route("/refuses/{status}", refuses),
            Route("/fails", fails),
            Route("/raises", raises),
            Route("/works", lambda request: PlainTextResponse("fine")),
        ],
        middleware=[Middleware(HeadersMiddleware, context=context), Middleware(ProblemMiddleware)],
    )
    return TestClient(app, raise_server_exceptions=False)


@pytest.mark.parametrize(
    ("path", "status"),
    [("/refuses/400", 400), ("/refuses/429", 429), ("/refuses/504", 504), ("/fails", 500), ("/raises", 401), ("/nowhere", 404)],
)
def test_whoever_refuses_the_answer_is_a_problem_without_inner_detail(client, path, status):
    response = client.get(path)
    assert list(assert_problem(response, status)) == ["type", "title", "status", "detail", "request_id"]
    assert "secret" not in response.text


def test_headers_of_the_refusal_are_kept(client):
    assert client.get("/raises").headers["WWW-Authenticate"] == "Bearer"
    refused = client.post("/works")
    assert "answers GET, HEAD, not POST" in assert_problem(refused, 405)["detail"]
    assert refused.headers["Allow"] == "GET, HEAD"


def test_a_405_names_the_methods_even_where_the_framework_does_not(client):
    """RFC 9110, 15.5.6; Starlette's static files answer without Allow."""
    refused = client.get("/refuses/405")
    assert_problem(refused, 405)
    assert refused.headers["Allow"] == "GET, HEAD"


@pytest.mark.parametrize(
    ("path", "nearest"),
    [
        ("/predict//", "/predict"),
        ("/v1/predict", "/predict"),
        ("/predict/explian", "/predict/explain"),
        ("/model/inf", "/model/info"),
        ("/Health", "/health"),
        ("/docs/", "/docs"),
    ],
)
def test_a_404_names_the_path_that_was_probably_meant(client, path, nearest):
    assert f"did you mean {nearest}?" in assert_problem(client.get(path), 404)["detail"]


@pytest.mark.parametrize("path", ["/nowhere", "/ui", "/ui/", "/" + "predict" * 1000])
def test_a_404_suggests_nothing_where_nothing_is_near(client, path):
    assert "did you mean" not in client.get(path).json()["detail"]


def test_an_answer_that_is_no_error_is_left_alone(client):
    assert client.get("/works").text == "fine"


@pytest.mark.parametrize("sent", ["a", "6f1c-abc_D.9", "x" * 128])
def test_a_valid_request_id_is_kept(client, sent):
    assert client.get("/works", headers={"X-Request-ID": sent}).headers["X-Request-ID"] == sent


@pytest.mark.parametrize("sent", ["", "x" * 129, "a b", "a;b", "<script>", "a/b"])
def test_an_invalid_request_id_is_replaced_by_a_new_uuid(client, sent):
    answers = [client.get("/works", headers={"X-Request-ID": sent}) for _ in range(2)]
    first, second = (uuid.UUID(answer.headers["X-Request-ID"]) for answer in answers)
    assert first.version == 4 and first != second
