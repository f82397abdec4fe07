"""A server with a site profile: whoever asks sees which one answers. Servers without one are asked everywhere else."""

import csv

import pytest

from service.access.roles import Role
from service.model import load_model
from service.model.manifest import OperatingPoint
from service.records.csv_files import write_audit, write_labels
from service.records.values import AuditFilter, PredictionName
from service.records.verification import verify_chain
from tests.support.encoded_films import encode, film
from tests.support.server.guarded import guarded_server
from tests.support.server.problems import PNG, PREDICTION_MEMBERS
from tests.support.server.recorded import MOMENT
from tests.support.site_profiles import make_profile, site_head

pytestmark = pytest.mark.slow

SITE = {"name": "mercy", "version": 2}
WARNINGS = ("The scanner alone explains most of the gain.",)
FIGURES = {"before": {"accuracy": 0.71}, "after": {"accuracy": 0.86, "interval_95": {"accuracy": [0.8, 0.91]}}}


@pytest.fixture(scope="module")
def profile(bundle, tmp_path_factory):
    points = {name: point.model_dump() for name, point in bundle.manifest.operating_points.items()}
    points["high_sensitivity"] = OperatingPoint(description="at mercy", thresholds={"Tuberculosis": 0.21, "Pneumonia": 0.2})
    return make_profile(
        bundle,
        tmp_path_factory.mktemp("sites"),
        version=2,
        head=site_head(1280),
        operating_points=points,
        verified=False,
        warnings=WARNINGS,
        figures=FIGURES,
    )


@pytest.fixture(scope="module")
def guarded(bundle, profile, tmp_path_factory):
    url = f"sqlite:///{tmp_path_factory.mktemp('records')}/records.db"
    with guarded_server(url, bundle.path, CXR_SITE=str(profile.path)) as guarded:
        yield guarded


def asked(guarded, path, role=Role.CLINICIAN, **options):
    method = "POST" if options else "GET"
    return guarded.client.request(method, path, headers=guarded.key[role], **options)


def test_every_answer_to_films_names_the_profile_and_is_its_answer(guarded, bundle, profile):
    expected = load_model(bundle.path, profile.path).predict(PNG)
    answers = [asked(guarded, path, content=PNG).json() for path in ("/predict", "/predict/explain")]
    assert [answer["site"] for answer in answers] == [SITE, SITE]
    assert set(answers[0]) == PREDICTION_MEMBERS
    assert answers[0]["probabilities"] == pytest.approx(dict(expected.probabilities), abs=1e-6)
    batch = asked(guarded, "/predict/batch", files=[("images", PNG), ("images", b"no film")]).json()
    assert batch["site"] == SITE
    assert [set(result) for result in batch["results"]] == [
        PREDICTION_MEMBERS - {"request_id", "model_version", "site"} | {"index"}, {"index", "error"},
    ]  # fmt: skip


def test_model_info_says_what_the_profile_is_and_the_thresholds_that_are_applied(guarded):
    info = asked(guarded, "/model/info").json()
    assert info["site"] == {
        "name": "mercy",
        "version": 2,
        "created_at": "2026-11-28T12:00:00Z",
        "films": {"Normal": 40, "Tuberculosis": 40, "unlabelled": 3},
        "verified": False,
        "warnings": list(WARNINGS),
        "figures": FIGURES,
    }
    assert info["operating_points"]["high_sensitivity"]["thresholds"] == {"Tuberculosis": 0.21, "Pneumonia": 0.2}


def test_health_and_a_reload_name_the_profile(guarded):
    assert guarded.client.get("/health").json()["site"] == SITE
    reloaded = guarded.client.post("/model/reload", headers=guarded.key[Role.ADMIN]).json()
    assert (reloaded["outcome"], reloaded["previous_site"], reloaded["site"]) == ("unchanged", SITE, SITE)


def test_records_audit_log_exports_and_reports_name_the_profile(guarded, tmp_path):
    answer = asked(guarded, "/predict", content=encode(film(256, seed=7), "PNG")).json()
    about = {"prediction_id": answer["prediction_id"]}
    assert guarded.records.find_prediction(PredictionName(**about)).site == "mercy-2"
    reports = [
        asked(guarded, "/feedback", json=about | {"label": "Normal"}).json(),
        asked(guarded, "/incidents", json=about | {"case_id": "case-1"}).json(),
    ]
    assert [report["site"] for report in reports] == [SITE, SITE]
    rows = asked(guarded, "/audit?limit=1000", Role.AUDIT).json()["rows"]
    assert [row["site"] for row in rows if row["prediction_id"] == answer["prediction_id"]] == ["mercy-2", None, None]
    assert write_audit(guarded.records, tmp_path / "audit.csv", AuditFilter()) >= len(rows)
    assert write_labels(guarded.records.database, tmp_path / "labels.csv", None) >= 1
    for name in ("audit", "labels"):
        with (tmp_path / f"{name}.csv").open(newline="") as stream:
            found = {row["site"] for row in csv.DictReader(stream) if row["prediction_id"] == answer["prediction_id"]}
        assert "mercy-2" in found
    with guarded.records.database.reading() as connection:
        assert verify_chain(connection, None, MOMENT, anonymise_days=90).fault is None


def test_a_batch_of_films_is_on_record_with_the_profile(guarded):
    batch = asked(guarded, "/predict/batch", files=[("images", PNG), ("images", PNG)]).json()
    ids = [result["prediction_id"] for result in batch["results"]]
    assert {guarded.records.find_prediction(PredictionName(each)).site for each in ids} == {"mercy-2"}
    [row] = [row for row in guarded.records.audit_page(AuditFilter(), limit=1000).rows if row.prediction_id == ";".join(ids)]
    assert row.site == "mercy-2"


def counted(guarded, name, **labels):
    """Sum of the series of the model and the profile that have these labels."""
    wanted = {f'{label}="{value}"' for label, value in (labels | {"site": "mercy-2", "version": "1.0.0"}).items()}
    lines = [line for line in guarded.client.get("/metrics").text.splitlines() if line.startswith(f"{name}{{")]
    return sum(
        float(line.split()[-1]) for line in lines if wanted <= set(line[line.index("{") + 1 : line.index("}")].split(","))
    )


def test_metrics_count_under_the_profile_alone_and_expect_what_its_acceptance_found(guarded):
    judged = [
        ("cxr_predictions_total", {}),
        ("cxr_confidence_count", {}),
        ("cxr_drift_bin_total", {"feature": "predicted_class"}),
    ]
    before = [counted(guarded, name, **labels) for name, labels in judged]
    confirmed = counted(guarded, "cxr_feedback_total", true="Normal")
    answer = asked(guarded, "/predict", content=PNG).json()
    assert [counted(guarded, name, **labels) for name, labels in judged] == [value + 1 for value in before]
    asked(guarded, "/feedback", json={"prediction_id": answer["prediction_id"], "label": "Normal"})
    assert counted(guarded, "cxr_feedback_total", true="Normal") == confirmed + 1
    assert (counted(guarded, "cxr_model_info"), counted(guarded, "cxr_reference_accuracy")) == (1, 0.86)
    assert 'site=""' not in guarded.client.get("/metrics").text


def test_openapi_describes_the_profile_of_an_answer(guarded):
    document = guarded.client.get("/docs.json").json()
    for path in ("/predict", "/predict/explain", "/predict/batch"):
        schema = document["paths"][path]["post"]["responses"]["200"]["content"]["application/json"]["schema"]
        assert "site" in schema["required"]
        assert "null: the model answered as it was released" in schema["properties"]["site"]["description"]
    assert set(document["components"]["schemas"]["SiteFacts"]["properties"]) == {"name", "version"}
