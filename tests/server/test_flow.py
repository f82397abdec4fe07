"""The whole line with real parts: train on phantoms, export, serve with BentoML, and compare HTTP with the bundle."""

import subprocess
import sys
from pathlib import Path

import httpx
import numpy as np
import pytest

from service.film.preprocessing import decode, to_model_input
from service.model.bundle import ModelBundle
from service.model.predictor import Predictor
from tests.support.server.serving import served

ROOT = Path(__file__).resolve().parents[2]
OVERRIDES = (
    'model.architecture="tf_efficientnet_lite0"',
    'model.weights="packaged"',
    "schedule.epochs=1",
    "schedule.frozen_epochs=0",
    "optimiser.batch_size=8",
    "data.workers=0",
    "data.near_duplicate_bits=3",
    'run.device="cpu"',
)


def run_module(*arguments):
    done = subprocess.run([sys.executable, "-m", *map(str, arguments)], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.slow
def test_a_film_gets_the_same_answer_over_http_as_from_the_bundle_that_was_just_trained(phantom_dataset, tmp_path):
    data = phantom_dataset(films_per_class={"train": 8, "val": 6, "test": 2}, manifest=True)
    settings = [item for override in OVERRIDES for item in ("--set", override)]
    run, models = tmp_path / "run", tmp_path / "models"
    config = ROOT / "training" / "configs" / "report.toml"
    said = run_module(
        "service.commands.cxr", "train", "--config", config, "--data", data, "--out", run, "--version", "0.1.0", *settings
    )
    assert "epoch   1/1" in said
    run_module(
        "service.commands.cxr", "export", "--checkpoint", run / "best_model.pt", "--data", data,
        "--version", "0.1.0", "--out", models, "--no-register",
    )  # fmt: skip

    bundle = ModelBundle.open(models / "chest-xray-0.1.0")
    predictor, spec = Predictor.from_bundle(bundle), bundle.manifest.preprocess
    films = sorted((data / "test").glob("*/*.png"))
    with served({"CXR_BUNDLE": str(bundle.path)}) as server, httpx.Client(base_url=server.address) as client:
        for film in films:
            answer = client.post("/predict", files={"image": film.read_bytes()}).raise_for_status().json()
            image = to_model_input(decode(film.read_bytes(), spec), spec)
            expected = predictor.predict(image[None], ("probabilities",))["probabilities"][0]
            np.testing.assert_allclose(list(answer["probabilities"].values()), expected, atol=1e-6)
            assert answer["model_version"] == "0.1.0"
        explained = client.post("/predict/explain", content=films[0].read_bytes(), timeout=60).raise_for_status().json()
    assert np.array(explained["explanation"]["grid"]).shape == (7, 7)
