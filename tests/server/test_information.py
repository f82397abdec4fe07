"""Model, health, metrics and documentation: what the service says of itself."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from service import __version__
from service.model.decision import ReviewReason
from service.model.findings import FINDINGS
from service.model.manifest import MANIFEST_NAME
from tests.support.encoded_films import encode, film
from tests.support.server.problems import PNG, PREDICTION_MEMBERS, assert_problem

pytestmark = pytest.mark.slow

# Labels of series that are counted for each model.
MODEL = 'site="",version="1.0.0"'

CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"


def test_model_info_is_the_manifest_without_the_training_configuration(client, bundle_path):
    info = client.get("/model/info").json()
    manifest = json.loads((bundle_path / MANIFEST_NAME).read_text("utf-8"))
    assert "training_config" not in info
    assert (info["version"], info["site"]) == ("1.0.0", None)
    assert info["files"] == manifest["files"]
    assert set(info["operating_points"]) == set(manifest["operating_points"])


def test_health_names_the_model(client):
    assert client.get("/health").json() == {"status": "ok", "model_version": "1.0.0", "fallback_in_use": False, "site": None}


def test_bentomls_own_refusals_are_problems(client):
    headers = {"Content-Type": "application/vnd.bentoml+pickle"}
    assert_problem(client.post("/predict", content=PNG, headers=headers), 415)


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/healthz", "/metrics", "/health", "/docs", "/docs.json", "/nowhere"])
def test_every_answer_carries_the_clients_request_id(client, path):
    assert client.get(path, headers={"X-Request-ID": "my-id.1"}).headers["X-Request-ID"] == "my-id.1"
    assert len(client.get(path).headers["X-Request-ID"]) == 36


def test_metrics_show_stages_requests_and_the_model(client):
    client.post("/predict/explain", content=PNG)
    client.post("/predict", content=b"not a film")
    metrics = client.get("/metrics").text
    for stage in ("read", "decode", "preprocess", "infer", "observe", "explain"):
        assert f'cxr_stage_seconds_bucket{{le="0.0005",stage="{stage}"}}' in metrics
    assert 'cxr_rejections_total{problem="unsupported-format"}' in metrics
    assert 'cxr_request_seconds_bucket{endpoint="/predict",le="0.03",status="415"}' in metrics
    assert 'cxr_model_info{site="",version="1.0.0"} 1.0' in metrics
    assert "cxr_model_fallback_in_use 0.0" in metrics
    assert "cxr_requests_in_flight" in metrics
    assert "cxr_queue_depth 0.0" in metrics
    assert "cxr_queue_limit 64.0" in metrics
    series = {line.split("{")[0].split()[0] for line in metrics.splitlines() if not line.startswith("#")}
    assert all(name.startswith("cxr_") and not name.endswith("_created") for name in series)


def value_of(client, series):
    """Of one series of /metrics; 0 if it is not there."""
    lines = [line for line in client.get("/metrics").text.splitlines() if line.startswith(f"{series} ")]
    return float(lines[0].split()[-1]) if lines else 0.0


def test_a_judged_film_is_counted_by_finding_confidence_reasons_and_bins(client):
    answer = client.post("/predict", content=PNG).json()
    names = [
        f'cxr_predictions_total{{finding="{answer["prediction"]}",{MODEL}}}',
        f"cxr_confidence_count{{{MODEL}}}",
        f'cxr_drift_bin_total{{bin="{answer["prediction"]}",feature="predicted_class",{MODEL}}}',
        *(f'cxr_reviews_total{{reason="{reason}",{MODEL}}}' for reason in answer["review"]["reasons"]),
        *([f"cxr_films_for_review_total{{{MODEL}}}"] if answer["review"]["required"] else []),
    ]
    before = [value_of(client, name) for name in names]
    confidences = value_of(client, f"cxr_confidence_sum{{{MODEL}}}")
    client.post("/predict", content=PNG)
    assert [value_of(client, name) - value for name, value in zip(names, before, strict=True)] == [1] * len(names)
    rise = value_of(client, f"cxr_confidence_sum{{{MODEL}}}") - confidences
    assert rise == pytest.approx(max(answer["probabilities"].values()), abs=1e-6)


def test_a_refused_film_is_a_rejection_and_no_prediction(client):
    refused, judged = 'cxr_rejections_total{problem="unsupported-format"}', f"cxr_confidence_count{{{MODEL}}}"
    before = value_of(client, refused), value_of(client, judged)
    client.post("/predict", content=b"not a film")
    client.post("/predict/batch", files=[("images", b"not a film"), ("images", PNG)])
    assert (value_of(client, refused), value_of(client, judged)) == (before[0] + 2, before[1] + 1)


def test_a_film_that_is_reported_twice_counts_once(client):
    answer = client.post("/predict", content=PNG).json()
    other = next(name for name in FINDINGS if name != answer["prediction"])
    labels = f'site="",true="{answer["prediction"]}",version="1.0.0"'
    agreed = f'cxr_feedback_total{{predicted="{answer["prediction"]}",{labels}}}'
    bin_name = str(min(int(answer["confidence"] * 10), 9))
    in_bin = [f'cxr_feedback_bin{part}_total{{bin="{bin_name}",{MODEL}}}' for part in ("", "_correct", "_confidence")]
    counts = (agreed, *in_bin, f"cxr_incidents_total{{{MODEL}}}", f"cxr_feedback_corrections_total{{{MODEL}}}")
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
    missed = f'cxr_feedback_total{{predicted="{answer["prediction"]}",site="",true="{other}",version="1.0.0"}}'
    before = value_of(client, missed)
    said = {"prediction_id": answer["prediction_id"], "label": other}
    assert client.post("/incidents", json=said | {"case_id": "case-1"}).json()["corrected_from"] is None
    assert client.post("/feedback", json=said).json()["corrected_from"] is None
    assert value_of(client, missed) - before == 1


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


def test_openapi_says_what_each_review_reason_and_orientation_means(client):
    schemas = client.get("/docs.json").json()["components"]["schemas"]
    assert schemas["ReviewReason"]["enum"] == [reason.value for reason in ReviewReason]
    orientation = schemas["ImageFacts"]["properties"]["orientation"]
    assert orientation["enum"] == ["stated", "assumed"]
    for described in (schemas["ReviewReason"], orientation):
        assert all(f"{value}: " in described["description"] for value in described["enum"])


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


def test_no_request_made_from_the_document_meets_a_500_or_an_undocumented_status(server, tmp_path):
    """Schemathesis makes the requests up."""
    schemathesis = str(Path(sys.executable).parent / "schemathesis")
    command = [schemathesis, "run", f"{server.address}/docs.json", "--url", server.address]
    options = ["--checks", CHECKS, "--max-examples", "30", "--seed", "1", "--no-color"]
    done = subprocess.run([*command, *options], cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout[-5000:]
    assert "13 passed" in done.stdout


def test_local_use_without_access_control_is_warned_of(server):
    assert "NO ACCESS CONTROL" in server.log()
