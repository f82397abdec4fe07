"""What is put on record, and what is reported back, with SQLite and with PostgreSQL."""

import hashlib
import json
import uuid
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from pydicom import uid

from service.access.roles import Role
from service.records.labels import confirmed_labels
from service.records.values import AuditFilter, PredictionName
from tests.support.compressed_dicom import compressed_dicom
from tests.support.databases import KINDS, database_url
from tests.support.encoded_films import dicom_file, encode, film
from tests.support.server.guarded import guarded_server
from tests.support.server.problems import PNG

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=KINDS)
def guarded(request, bundle_path, tmp_path_factory):
    with (
        database_url(request.param, tmp_path_factory.mktemp("records")) as url,
        guarded_server(url, bundle_path) as guarded,
    ):
        yield guarded


def rows_of(guarded, request_id):
    return [row for row in guarded.records.audit_page(AuditFilter(), limit=1000).rows if row.request_id == request_id]


def predict(guarded, path="/predict", **options):
    request_id = str(uuid.uuid4())
    headers = guarded.key[Role.CLINICIAN] | {"X-Request-ID": request_id} | options.pop("headers", {})
    return request_id, guarded.client.post(path, headers=headers, **(options or {"content": PNG}))


def test_a_prediction_leaves_one_audit_row_and_one_record(guarded):
    # What a client says of its address counts for nothing without a proxy that is trusted.
    request_id, response = predict(guarded, content=PNG, headers={"X-Forwarded-For": "10.1.2.3"})
    answer = response.json()
    [row] = rows_of(guarded, request_id)
    assert (row.endpoint, row.method, row.status, row.outcome) == ("/predict", "POST", 200, "ok")
    assert (row.user_id, row.role, row.address) == ("clinician_1", "clinician", "127.0.0.x")
    assert (row.prediction, row.confidence) == (answer["prediction"], answer["confidence"])
    assert (row.model_version, row.inference_time_ms) == ("1.0.0", answer["inference_time_ms"])
    record = guarded.records.find_prediction(PredictionName(answer["prediction_id"], request_id))
    assert row.prediction_id == answer["prediction_id"] == response.headers["X-Prediction-ID"]
    assert record.probabilities == answer["probabilities"]
    assert record.image_sha256 == row.image_sha256


def test_a_batch_leaves_one_audit_row_and_a_record_for_each_film_that_was_judged(guarded):
    files = [("images", PNG), ("images", b"no film"), ("images", PNG)]
    request_id, response = predict(guarded, "/predict/batch", files=files)
    results = response.json()["results"]
    [row] = rows_of(guarded, request_id)
    for name in ("prediction", "prediction_id"):
        assert getattr(row, name) == f"{results[0][name]};-;{results[2][name]}"
    assert guarded.records.find_prediction(PredictionName(results[2]["prediction_id"], request_id, 2)).index == 2
    assert "X-Prediction-ID" not in response.headers


@pytest.mark.parametrize(
    ("path", "options", "status", "outcome"),
    [
        ("/predict", {"content": b"no film"}, 415, "unsupported-format"),
        ("/predict?operating_point=x", {"content": PNG}, 400, "unknown-operating-point"),
        ("/feedback", {"content": b"{"}, 400, "malformed-request"),
        ("/feedback", {"content": b" " * 40_000}, 413, "upload-too-large"),
        ("/audit", {}, 403, "access-denied"),
        ("/nowhere", {}, 404, "not-found"),
    ],
)
def test_a_refusal_leaves_its_row_too(guarded, path, options, status, outcome):
    request_id, response = predict(guarded, path, **(options or {"content": b""}))
    assert response.status_code == status
    [row] = rows_of(guarded, request_id)
    assert (row.status, row.outcome, row.prediction) == (status, outcome, None)
    assert (row.user_id, row.role) == ("clinician_1", "clinician")


def test_a_stranger_leaves_a_row_without_a_name(guarded):
    request_id = str(uuid.uuid4())
    guarded.client.post("/predict", content=PNG, headers={"X-Request-ID": request_id, "X-API-Key": "cxr_wrong"})
    [row] = rows_of(guarded, request_id)
    assert (row.status, row.outcome, row.user_id, row.address) == (401, "not-authenticated", None, "127.0.0.x")


def test_probes_and_pages_leave_no_rows(guarded):
    request_id = str(uuid.uuid4())
    for path in ("/readyz", "/health", "/metrics", "/docs", "/"):
        guarded.client.get(path, headers={"X-Request-ID": request_id})
    assert rows_of(guarded, request_id) == []


PATIENT = {
    "PatientName": "Doe^Jane", "PatientID": "MRN-4711", "PatientBirthDate": "19700131", "PatientAddress": "Elm Street 5",
    "InstitutionName": "St. Elsewhere", "AccessionNumber": "ACC-990", "StudyDescription": "cough since easter",
}  # fmt: skip


def test_nothing_of_a_patient_reaches_answers_log_or_database(bundle_path, tmp_path):
    films = [
        dicom_file(film(256), **PATIENT),
        compressed_dicom(film(256), uid.JPEGLSLossless, **PATIENT),
        dicom_file(film(256), **PATIENT, ViewPosition="LL"),
        dicom_file(film(256), **PATIENT, SOPClassUID=uid.CTImageStorage),
        dicom_file(film(256), **PATIENT, Rows=400),
        dicom_file(film(256), **PATIENT)[:3000],
    ]
    assert all(b"Doe^Jane" in data for data in films)
    with guarded_server(f"sqlite:///{tmp_path}/records.db", bundle_path) as guarded:
        answers = [predict(guarded, path, content=data)[1] for data in films for path in ("/predict", "/predict/explain")]
        answers.append(predict(guarded, "/predict/batch", files=[("images", ("Doe^Jane.dcm", data)) for data in films])[1])
        answers.append(guarded.client.get("/audit", headers=guarded.key[Role.AUDIT]))
        answers.append(guarded.client.get("/metrics"))
        said = guarded.server.log() + "".join(answer.text for answer in answers)
    assert {answer.status_code for answer in answers} == {200, 400, 422}
    kept = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    for value in PATIENT.values():
        assert value not in said
        assert value.encode() not in kept


def test_the_audit_role_reads_the_log_in_pages(guarded):
    request_id, _ = predict(guarded)
    seen, after = [], 0
    while after is not None:
        query = {"after": after, "limit": 7, "endpoint": "/predict", "user": "clinician_1"}
        page = guarded.client.get("/audit", params=query, headers=guarded.key[Role.AUDIT]).json()
        seen += page["rows"]
        after = page["next"]
    assert {row["endpoint"] for row in seen} == {"/predict"}
    assert request_id in {row["request_id"] for row in seen}
    assert [row["seq"] for row in seen] == sorted({row["seq"] for row in seen})
    head_seq, head_hash = page["head"].split(":")
    assert int(head_seq) >= seen[-1]["seq"]
    assert len(head_hash) == 64


def test_a_confirmed_label_is_kept_with_its_prediction(guarded):
    request_id, response = predict(guarded, content=encode(film(256, seed=41), "PNG"))
    body = {"request_id": request_id, "label": "Tuberculosis"}
    answer = guarded.client.post("/feedback", json=body, headers=guarded.key[Role.CLINICIAN])
    assert answer.status_code == 201
    predicted = response.json()["prediction"]
    assert answer.json() | {"feedback_id": 0} == {
        "feedback_id": 0,
        "prediction_id": response.json()["prediction_id"],
        "request_id": request_id,
        "index": 0,
        "model_version": "1.0.0",
        "site": None,
        "prediction": predicted,
        "label": "Tuberculosis",
        "agrees": predicted == "Tuberculosis",
        "corrected_from": None,
    }
    labels = {row["request_id"]: row["label"] for row in confirmed_labels(guarded.records.database)}
    assert labels[request_id] == "Tuberculosis"


def judged(guarded, trace, path="/predict", **options):
    """The answer to a film that was sent under a trace identifier, by a client with a connection of its own."""
    headers = guarded.key[Role.CLINICIAN] | {"X-Request-ID": trace}
    with httpx.Client(base_url=guarded.address, timeout=120) as client:
        response = client.post(path, headers=headers, **options)
    assert response.headers["X-Request-ID"] == trace and response.json()["request_id"] == trace
    return response.json()


def reported(guarded, path, **body):
    return guarded.client.post(path, json=body, headers=guarded.key[Role.CLINICIAN])


def test_two_films_under_one_trace_identifier_keep_their_own_labels(guarded):
    """Gateways and viewers give one identifier to all that belongs to one visit; whose label it is, the service has to know."""
    trace = f"trace-{uuid.uuid4()}"
    films = [encode(film(256, seed=seed), "PNG") for seed in (1, 2)]
    with ThreadPoolExecutor(2) as clients:
        first, second = clients.map(lambda data: judged(guarded, trace, content=data), films)
    assert first["prediction_id"] != second["prediction_id"]
    assert reported(guarded, "/feedback", prediction_id=first["prediction_id"], label="Tuberculosis").status_code == 201
    assert reported(guarded, "/feedback", prediction_id=second["prediction_id"], label="Normal").status_code == 201
    labels = {row["image_sha256"]: row for row in confirmed_labels(guarded.records.database)}
    for data, answer, label in zip(films, (first, second), ("Tuberculosis", "Normal"), strict=True):
        row = labels[hashlib.sha256(data).hexdigest()]
        assert (row["prediction_id"], row["label"]) == (answer["prediction_id"], label)
        assert (row["prediction"], row["confidence"]) == (answer["prediction"], answer["confidence"])
    [*_, audited] = [row for row in guarded.records.audit_page(AuditFilter(), limit=1000).rows if row.endpoint == "/feedback"]
    assert audited.prediction_id == second["prediction_id"]
    for path, body in (("/feedback", {"label": "Normal"}), ("/incidents", {"case_id": "c"})):
        refused = reported(guarded, path, request_id=trace, **body)
        assert refused.status_code == 400
        assert "send the prediction_id" in refused.json()["detail"]


def test_a_film_of_a_batch_is_reported_by_its_own_identifier_or_its_index(guarded):
    trace = f"trace-{uuid.uuid4()}"
    sent = [("images", encode(film(256, seed=seed), "PNG")) for seed in (3, 4)]
    results = judged(guarded, trace, "/predict/batch", files=sent)["results"]
    for index, result in enumerate(results):
        for name in ({"prediction_id": result["prediction_id"]}, {"request_id": trace, "index": index}):
            for path, body in (("/feedback", {"label": "Normal"}), ("/incidents", {"case_id": "c", "label": "Normal"})):
                answer = reported(guarded, path, **name, **body).json()
                assert (answer["prediction_id"], answer["index"]) == (result["prediction_id"], index)
                assert (answer["request_id"], answer["prediction"]) == (trace, result["prediction"])
    assert reported(guarded, "/incidents", request_id=trace, case_id="c").status_code == 400
    other = reported(guarded, "/incidents", prediction_id=results[1]["prediction_id"], index=0, case_id="c")
    assert (other.status_code, "different predictions" in other.json()["detail"]) == (400, True)


def test_a_picture_names_its_prediction_in_a_header(guarded):
    request_id, response = predict(guarded, "/predict/explain", content=PNG, headers={"Accept": "image/png"})
    assert response.headers["Content-Type"] == "image/png"
    answer = reported(guarded, "/incidents", prediction_id=response.headers["X-Prediction-ID"], case_id="c")
    assert (answer.status_code, answer.json()["request_id"]) == (201, request_id)
    _, refused = predict(guarded, content=b"no film")
    assert "X-Prediction-ID" not in refused.headers


def test_a_misdiagnosis_is_marked_for_review_and_retraining(guarded):
    request_id, _ = predict(guarded)
    body = {"request_id": request_id, "case_id": "case-17", "label": "Normal", "note": "pleural scar"}
    answer = guarded.client.post("/incidents", json=body, headers=guarded.key[Role.CLINICIAN])
    assert answer.status_code == 201
    assert {name: answer.json()[name] for name in ("case_id", "status", "manual_review", "retraining")} == {
        "case_id": "case-17",
        "status": "open",
        "manual_review": True,
        "retraining": True,
    }


def test_a_note_may_have_its_full_length_whatever_its_characters(guarded):
    """As JSON, a character beyond the Basic Multilingual Plane takes two escapes: 12 bytes (RFC 8259, 7)."""
    answer = judged(guarded, f"trace-{uuid.uuid4()}", content=PNG)
    report = {"prediction_id": answer["prediction_id"], "case_id": "c", "note": "\N{LUNGS}" * 2000}
    body = json.dumps(report)  # in escapes, as the library does by default
    headers = guarded.key[Role.CLINICIAN] | {"Content-Type": "application/json"}
    assert guarded.client.post("/incidents", content=body, headers=headers).status_code == 201


def test_a_report_on_an_unknown_prediction_is_not_found(guarded):
    for path, body in (("/feedback", {"label": "Normal"}), ("/incidents", {"case_id": "c"})):
        for name in ("request_id", "prediction_id"):
            response = guarded.client.post(path, json=body | {name: "unknown"}, headers=guarded.key[Role.CLINICIAN])
            assert response.status_code == 404
            assert response.json()["type"] == "urn:chest-xray:problem:prediction-not-found"
            assert f"No prediction of {name} 'unknown'" in response.json()["detail"]
