"""Who may call what, whatever the spelling of the path; rates, networks and origins."""

import asyncio
import json
import uuid

import bentoml
import httpx
import pytest

from service.access.roles import PUBLIC, ROLES_OF, Role
from service.records.values import AuditFilter
from tests.support.server.guarded import guarded_server
from tests.support.server.problems import PNG
from tests.support.server.sockets import exchange, head, keyed
from tests.support.server.tokens import AUDIENCE, ISSUER, KEY_SET, STRANGERS, token

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def guarded(bundle_path, tmp_path_factory):
    folder = tmp_path_factory.mktemp("records")
    (folder / "jwks.json").write_text(json.dumps(KEY_SET))
    settings = {
        "CXR_AUTH": "keys_and_tokens",
        "CXR_JWKS": str(folder / "jwks.json"),
        "CXR_TOKEN_ISSUER": ISSUER,
        "CXR_TOKEN_AUDIENCE": AUDIENCE,
    }
    with guarded_server(f"sqlite:///{folder}/records.db", bundle_path, **settings) as guarded:
        yield guarded


def method_of(path):
    return "GET" if path in ("/audit", "/model/info", *PUBLIC) else "POST"


def ask(guarded, method, path):
    """The path as it stands, which httpx would take for a host if it began with two slashes."""
    return guarded.client.request(method, f"{guarded.address}{path}", headers=guarded.key[Role.ADMIN])


@pytest.mark.parametrize("path", ROLES_OF)
def test_every_route_answers_its_roles_and_no_others_with_or_without_a_slash_at_its_end(guarded, path):
    for spelling in (path, f"{path}/", f"{path}%2F"):
        for role in Role:
            answer = guarded.client.request(method_of(path), spelling, headers=guarded.key[role])
            assert (answer.status_code == 403) == (role not in ROLES_OF[path]), answer.text
        nobody = guarded.client.request(method_of(path), spelling)
        assert nobody.status_code == 401
        assert nobody.headers["WWW-Authenticate"] == "Bearer"
        assert nobody.json()["type"] == "urn:chest-xray:problem:not-authenticated"
    metrics = guarded.client.get("/metrics/").text
    assert f'endpoint="{path}",' in metrics
    assert f'endpoint="{path}/"' not in metrics


@pytest.mark.parametrize(
    "ending", ["%0A", "%0D", "%0D%0A", "%00", "%20", "//", "/%0A", "/.", ";x", "%2F%0A", "%E2%80%A8", "%85"]
)
def test_no_spelling_of_a_path_meets_fewer_questions_than_its_own(guarded, ending):
    for path, roles in ROLES_OF.items():
        for role in set(Role) - roles:
            answer = guarded.client.request(method_of(path), path + ending, headers=guarded.key[role])
            assert answer.status_code in (403, 404), (path, role)


@pytest.mark.parametrize(
    "path", ["/health", "/livez", "/readyz", "/healthz", "/metrics", "/docs", "/docs.json", "/schema.json", "/"]
)
def test_public_paths_are_answered_without_a_key(guarded, path):
    assert guarded.client.get(path).status_code == 200


@pytest.mark.parametrize("path", ["/nowhere", "/predict/../audit", "/%2e%2e/audit", "/ui/%2e%2e/app.py"])
def test_nothing_else_is_open_to_strangers_or_there_for_others(guarded, path):
    assert guarded.client.get(path).status_code == 401
    assert path != "/nowhere" or guarded.client.get(path, headers=guarded.key[Role.ADMIN]).status_code == 404


def test_no_path_with_a_slash_too_many_is_redirected(guarded):
    """A redirect would name http, which the server speaks behind a proxy: film and key would follow in clear text."""
    paths = (*ROLES_OF, *PUBLIC, "/ui", "/ui/main.js", "/static_content", "/static_content/swagger-ui.css", "/nowhere")
    spellings = [f"{path}/" for path in paths]
    for path in ("/predict", "/health", "/docs"):
        spellings += [f"{path}//", f"/{path}", f"{path}%2F", f"{path}/?x=1", path.replace("/", "//") + "/"]
    for spelling in spellings:
        for method in ("GET", "POST", "HEAD", "OPTIONS") if "predict" in spelling else ("GET",):
            answer = ask(guarded, method, spelling)
            assert "location" not in answer.headers, (method, spelling)
            assert not answer.is_redirect
            assert answer.status_code < 500


@pytest.mark.parametrize("path", ["/predict", "/predict/batch", "/predict/explain"])
def test_a_slash_at_the_end_is_answered_as_the_path_without_it(guarded, path):
    request_id = str(uuid.uuid4())
    headers = guarded.key[Role.CLINICIAN] | {"X-Request-ID": request_id}
    body = {"files": [("images", PNG)]} if path == "/predict/batch" else {"content": PNG}
    answer = guarded.client.post(f"{path}/", headers=headers, **body)
    assert answer.status_code == 200, answer.text
    assert guarded.client.post(path, headers=headers, **body).json().keys() == answer.json().keys()
    rows = [row for row in guarded.records.audit_page(AuditFilter(), limit=1000).rows if row.request_id == request_id]
    assert [row.endpoint for row in rows] == [path, path]


@pytest.mark.parametrize("path", ["/docs/", "/ui/", "/predict//", "//predict"])
def test_pages_and_what_has_more_slashes_are_not_there_and_the_right_path_is_named(guarded, path):
    answer = ask(guarded, "GET", path)
    assert answer.status_code == 404
    if path != "/ui/":
        assert f"did you mean /{path.strip('/')}?" in answer.json()["detail"]


def test_a_method_that_is_not_answered_is_told_which_are(guarded):
    headers = guarded.key[Role.ADMIN]
    for path in (*ROLES_OF, *PUBLIC, "/ui/main.js", "/static_content/swagger-ui.css"):
        allowed = {"GET", "HEAD"} if method_of(path) == "GET" or "." in path else {"POST"}
        for method in ("DELETE", "PUT", "OPTIONS", "POST" if "GET" in allowed else "GET"):
            answer = guarded.client.request(method, path, headers=headers)
            assert answer.status_code == 405, path
            assert set(answer.headers["Allow"].split(", ")) == allowed
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.json()["detail"].startswith(f"This path answers {answer.headers['Allow']}, not {method}")


@pytest.mark.parametrize("target", [b"http://elsewhere.example/audit", b"//audit", b"/x/../audit", b"*", b"/audit/"])
def test_no_form_of_a_target_meets_fewer_questions(guarded, target):
    answer = exchange(guarded.address, head(b"Connection: close", start=b"GET " + target + b" HTTP/1.1"))
    assert answer.startswith(b"HTTP/1.1 401 ")


def test_of_two_keys_neither_counts(guarded):
    key, other = keyed(guarded), b"X-API-Key: x"
    for keys in ((key, key), (key, other), (other, key)):
        answer = exchange(guarded.address, head(*keys, b"Connection: close", start=b"GET /model/info HTTP/1.1"))
        assert answer.startswith(b"HTTP/1.1 401 ")


def test_a_token_is_as_good_as_a_key(guarded):
    for path, bearer, status in (
        ("/model/info", token(), 200),
        ("/audit", token(), 403),
        ("/model/info", token(STRANGERS), 401),
    ):
        assert guarded.client.get(path, headers={"Authorization": f"Bearer {bearer}"}).status_code == status


@pytest.fixture
def film_path(tmp_path):
    path = tmp_path / "film.png"
    path.write_bytes(PNG)
    return path


def test_bentomls_client_connects_and_calls_every_endpoint(guarded, film_path):
    with bentoml.SyncHTTPClient(guarded.address, token=guarded.key[Role.CLINICIAN]["X-API-Key"]) as client:
        assert client.predict(image=film_path)["operating_point"] == "balanced"
        assert client.predict(image=film_path, operating_point="tb_screening")["operating_point"] == "tb_screening"
        explained = client.predict_explain(image=film_path, target="Normal", film=True)["explanation"]
        assert explained["target"] == "Normal" and explained["film_png"]
        assert len(client.predict_batch(images=[film_path, film_path])["results"]) == 2


def test_bentomls_asynchronous_client_does_too(guarded, film_path):
    async def call():
        async with bentoml.AsyncHTTPClient(guarded.address, token=guarded.key[Role.CLINICIAN]["X-API-Key"]) as client:
            return await client.predict(image=film_path)

    assert asyncio.run(call())["prediction"]


def test_every_answer_carries_security_headers(guarded):
    for path in ("/", "/health", "/docs", "/nowhere", "/model/info"):
        headers = guarded.client.get(path).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert guarded.client.get("/model/info").headers["Cache-Control"] == "no-store"


@pytest.fixture(scope="module")
def strict(bundle_path, tmp_path_factory):
    """A server with a tight rate, behind a proxy, for one hospital and one page elsewhere."""
    settings = {
        "CXR_RATE_LIMIT": "4/minute",
        "CXR_ALLOWED_NETWORKS": "10.0.0.0/8",
        "CXR_TRUSTED_PROXIES": "127.0.0.0/8",
        "CXR_CORS_ORIGINS": "https://viewer.hospital.example",
    }
    with guarded_server(f"sqlite:///{tmp_path_factory.mktemp('strict')}/records.db", bundle_path, **settings) as strict:
        strict.client.headers["X-Forwarded-For"] = "10.1.2.3"
        yield strict


def test_who_calls_too_often_is_told_when_to_come_back(strict):
    key = strict.key[Role.AUDIT]
    statuses = [strict.client.get("/model/info", headers=key).status_code for _ in range(4)]
    assert statuses == [200] * 4
    refused = strict.client.get("/model/info", headers=key)
    assert refused.status_code == 429
    assert 1 <= int(refused.headers["Retry-After"]) <= 60
    assert strict.client.get("/model/info", headers=strict.key[Role.ADMIN]).status_code == 200


def test_other_networks_are_refused_and_probes_are_not(strict):
    outside = {"X-Forwarded-For": "203.0.113.7"}
    assert strict.client.get("/", headers=outside).status_code == 403
    assert strict.client.get("/readyz", headers=outside).status_code == 200
    claimed = {"X-Forwarded-For": "10.1.2.3, 203.0.113.7"}
    assert strict.client.get("/health", headers=claimed).status_code == 403
    in_two_lines = [("X-Forwarded-For", "10.1.2.3"), ("X-Forwarded-For", "203.0.113.8")]
    assert httpx.get(f"{strict.address}/health", headers=in_two_lines).status_code == 403


def test_a_page_of_a_named_origin_may_call_and_others_may_not(strict):
    question = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "X-API-Key"}
    viewer, elsewhere = {"Origin": "https://viewer.hospital.example"}, {"Origin": "https://elsewhere.example"}
    named = strict.client.options("/predict", headers=question | viewer)
    assert named.status_code == 200
    assert named.headers["Access-Control-Allow-Origin"] == "https://viewer.hospital.example"
    answer = strict.client.get("/health", headers=viewer)
    assert {"X-Request-ID", "X-Prediction-ID"} <= set(answer.headers["Access-Control-Expose-Headers"].split(", "))
    for changed in ({"Access-Control-Request-Method": "PUT"}, {"Access-Control-Request-Headers": "X-Other"}, elsewhere):
        refused = strict.client.options("/audit", headers=question | viewer | changed)
        assert refused.status_code == 400
        assert refused.headers["content-type"] == "application/problem+json"
        assert "CXR_CORS_ORIGINS" in refused.json()["detail"]
        assert refused.json()["request_id"] == refused.headers["X-Request-ID"]
    assert "Access-Control-Allow-Origin" not in refused.headers  # of the page elsewhere
