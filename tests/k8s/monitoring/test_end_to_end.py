"""A real Prometheus scrapes the real service: drift is seen where films drift, alerts fire, every panel has data."""

import shutil
from collections.abc import Callable

import cv2
import httpx
import numpy as np
import pytest

from export.bundle import seal
from export.drift_reference import build_reference
from export.films import Films
from export.phantom import phantom_film
from k8s.monitoring.panels import all_expressions
from service.files import write_json
from service.film.preprocessing import decode, to_model_input
from service.model.bundle import ModelBundle
from service.model.drift_reference import COMPONENT_FEATURES, NUMERIC_FEATURES
from service.model.findings import FINDINGS
from service.model.manifest import DRIFT_REFERENCE_NAME
from service.model.outliers import read_outlier_statistics
from service.model.predictor import Predictor
from tests.support.prometheus_process import needs_prometheus, prometheus
from tests.support.server.serving import served
from tests.support.waiting import eventually
from training.retraining.triggers import firing_alerts

pytestmark = [pytest.mark.long, needs_prometheus]

# Of one feature each, by the label `feature`.
INPUT_DRIFT = 'ALERTS{alertname="ChestXrayInputDrift",alertstate="firing"}'

FEATURES = {*NUMERIC_FEATURES, *COMPONENT_FEATURES, "predicted_class"}
FILM_PX = 160
REFERENCE_FILMS = 600
USUAL_FILMS = 400
SHIFTED_FILMS = 200


def png(pixels: np.ndarray) -> bytes:
    return cv2.imencode(".png", pixels)[1].tobytes()


def phantoms(first_seed: int, count: int) -> list[np.ndarray]:
    """Films of varying size, all findings in turn."""
    rng = np.random.default_rng(first_seed)
    films = [phantom_film(FINDINGS[index % 3], first_seed + index, FILM_PX) for index in range(count)]
    return [cv2.resize(film, (int(FILM_PX * rng.uniform(0.8, 1.25)), FILM_PX), interpolation=cv2.INTER_AREA) for film in films]


def outputs_of(bundle: ModelBundle, films: list[np.ndarray]) -> tuple[Films, np.ndarray, np.ndarray]:
    predictor = Predictor.from_bundle(bundle)
    radiographs = [decode(png(film), bundle.manifest.preprocess) for film in films]
    images = np.stack([to_model_input(each, bundle.manifest.preprocess) for each in radiographs])
    runs = [predictor.predict(image[None], ("probabilities", "embedding")) for image in images]
    sizes = np.array([(each.width_px, each.height_px) for each in radiographs])
    described = Films(images, np.zeros(len(films), np.int64), sizes, np.zeros(len(films)))
    return described, *(np.concatenate([run[name] for run in runs]) for name in ("probabilities", "embedding"))


@pytest.fixture(scope="module")
def referred(bundle, tmp_path_factory):
    """A bundle whose reference are phantoms, since phantoms are what this test may send."""
    folder = shutil.copytree(bundle.path, tmp_path_factory.mktemp("models") / "chest-xray-1.0.0")
    films, probabilities, embeddings = outputs_of(bundle, phantoms(50_000, REFERENCE_FILMS))
    reference = build_reference(films.statistics(), probabilities, embeddings, read_outlier_statistics(bundle).components)
    write_json(folder / DRIFT_REFERENCE_NAME, reference.model_dump(mode="json"))
    return seal(folder, bundle.manifest.model_copy(update={"test_metrics": {"headline": {"accuracy": 0.9}}}))


@pytest.fixture(scope="module")
def watched(referred):
    settings = {"CXR_BUNDLE": str(referred.path), "CXR_TIMEOUT_SECONDS": "115"}
    with (
        served(settings) as server,
        prometheus([server.address.removeprefix("http://")]) as watching,
        httpx.Client(base_url=server.address, timeout=120) as client,
    ):
        # Scraped once before the first film: what is counted later is an increase.
        assert eventually(lambda: watching.value("sum(cxr_drift_bin_total)"), lambda value: value is not None) == 0
        yield client, watching


def send(client: httpx.Client, films: list[np.ndarray]) -> list[dict]:
    results = []
    for start in range(0, len(films), 10):
        answer = client.post("/predict/batch", files=[("images", png(film)) for film in films[start : start + 10]])
        assert answer.status_code == 200, answer.text
        results += [each | {"request_id": answer.json()["request_id"]} for each in answer.json()["results"]]
    return results


def by_feature(watching, expression) -> dict[str, float]:
    return {dict(labels)["feature"]: value for labels, value in watching.query(expression).items()}


def after_films(watching, films: int, holds: Callable[[dict[str, float]], bool]) -> dict[str, float]:
    """PSI by feature once all films were scraped, and `holds` of it: rules are worked out later."""
    # Prometheus extrapolates a little; what it counted last is exact.
    expression = 'sum(cxr_drift_bin_total{feature="predicted_class"})'
    assert eventually(lambda: watching.value(expression), lambda value: value == films) == films
    return eventually(lambda: by_feature(watching, "cxr:psi:1h"), holds)


def test_films_like_the_references_do_not_drift_and_shifted_ones_do(watched, referred):
    client, watching = watched
    results = send(client, phantoms(60_000, USUAL_FILMS))
    sent = len(results)
    psi = after_films(watching, sent, lambda psi: set(psi) == FEATURES and max(psi.values()) < 0.1)
    assert set(psi) == FEATURES
    assert max(psi.values()) < 0.1, psi
    assert not {"ChestXrayInputDrift", "ChestXrayClassShift"} & watching.firing()

    others = phantoms(70_000, 900)
    shifts = {
        "mean": [cv2.convertScaleAbs(film, beta=60) for film in others[:SHIFTED_FILMS]],
        "sharpness": [cv2.GaussianBlur(film, (0, 0), 3) for film in others[SHIFTED_FILMS : 2 * SHIFTED_FILMS]],
        "predicted_class": films_called_as_the_rarest(referred, others[2 * SHIFTED_FILMS :], results),
    }
    for feature, films in shifts.items():
        sent += len(send(client, films))
        psi = after_films(watching, sent, lambda psi, wanted=feature: psi.get(wanted, 0) > 0.2)
        assert psi[feature] > 0.2, feature
        firing = eventually(lambda: by_feature(watching, INPUT_DRIFT), lambda features, wanted=feature: wanted in features)
        assert feature in firing


def films_called_as_the_rarest(bundle: ModelBundle, films: list[np.ndarray], results: list[dict]) -> list[np.ndarray]:
    """Another mix of classes: films of the finding that was called least, sent until it shows."""
    called = [result["prediction"] for result in results]
    rarest = min(FINDINGS, key=lambda finding: called.count(finding.value))
    _, probabilities, _ = outputs_of(bundle, films)
    chosen = [film for film, row in zip(films, probabilities, strict=True) if FINDINGS[row.argmax()] is rarest]
    assert chosen, "no film of the rarest finding"
    return (chosen * (1 + 800 // len(chosen)))[:800]


def test_every_panel_has_something_to_show(watched):
    client, watching = watched
    results = send(client, phantoms(80_000, 120))
    for index, result in enumerate(results):
        # Two in three are confirmed, the others are said to be something else.
        label = result["prediction"] if index % 3 else FINDINGS[index % 2].value
        said = {"request_id": result["request_id"], "index": result["index"], "label": label}
        assert client.post("/feedback", json=said).status_code == 201
    for result in results[:3]:
        said = {"request_id": result["request_id"], "index": result["index"], "case_id": "case-1"}
        assert client.post("/incidents", json=said).status_code == 201
    film = png(phantoms(90_000, 1)[0])
    for _ in range(3):
        assert client.post("/predict", content=film).status_code == 200
        assert client.post("/predict/explain", content=film).status_code == 200
    client.post("/predict", content=b"not a film")
    assert eventually(lambda: watching.value("sum(cxr:labels:7d)"), bool) > 0

    # Three misdiagnoses are a pattern: what asks for retraining is told so by this Prometheus as well.
    pattern = "ChestXrayRetrainFailurePattern"
    asked = eventually(lambda: {each.name for each in firing_alerts(watching.address)}, lambda names: pattern in names)
    assert pattern in asked

    def empty() -> list[tuple[str, str, str]]:
        return [each for each in all_expressions() if not watching.query(filled_in(each[2]))]

    assert eventually(empty, lambda panels: not panels) == []


def filled_in(expression: str) -> str:
    """As Grafana fills in its variables."""
    for name, value in {"$version": ".*", "$site": ".*", "$feature": ".*", "$__rate_interval": "1m"}.items():
        expression = expression.replace(name, value)
    return expression
