import subprocess
import sys
from functools import partial

import numpy as np
import pytest

from service.film.errors import UnsupportedFormat
from service.film.preprocessing import decode, to_model_input
from service.model import load_model
from service.model import model as module
from service.model.errors import GoldenMismatch, HashMismatch, UnknownFinding, UnknownOperatingPoint
from service.model.findings import FINDINGS
from service.model.manifest import HEAD_NAME
from service.model.releases import candidates
from tests.support.encoded_films import dicom_file, film
from tests.support.manifests import copy_bundle
from tests.support.server.serving import ROOT

DICOM = dicom_file(film())


@pytest.fixture(scope="module")
def model(bundle_path):
    return load_model(bundle_path)


def test_a_path_and_its_bytes_have_the_probabilities_of_the_graph_to_the_bit(model, bundle, tmp_path):
    path = tmp_path / "film.dcm"
    path.write_bytes(DICOM)
    spec = bundle.manifest.preprocess
    outputs = model._predictor.predict(to_model_input(decode(DICOM, spec), spec)[None])
    for sent in (DICOM, path, str(path)):
        prediction = model.predict(sent)
        assert list(prediction.probabilities) == list(FINDINGS)
        assert list(prediction.probabilities.values()) == outputs["probabilities"][0].tolist()
        assert prediction.confidence == prediction.probabilities[prediction.finding]
        assert (prediction.format, prediction.model_version) == ("dicom", bundle.manifest.version)


def test_an_explanation_belongs_to_the_prediction_and_to_the_finding_asked_for(model):
    prediction, explanation = model.explain(DICOM)
    assert explanation.target is prediction.finding
    assert prediction.probabilities == model.predict(DICOM).probabilities
    assert sum(explanation.zones.values()) == pytest.approx(1)
    assert explanation.overlay_png.startswith(b"\x89PNG")
    _, other = model.explain(DICOM, "Pneumonia")
    assert other.target == "Pneumonia" and not np.array_equal(other.grid, model.explain(DICOM, "Normal")[1].grid)


def test_what_cannot_be_judged_raises(model, tmp_path):
    with pytest.raises(UnsupportedFormat):
        model.predict(b"no film")
    with pytest.raises(FileNotFoundError):
        model.predict(tmp_path / "nowhere.png")
    with pytest.raises(UnknownOperatingPoint):
        model.predict(DICOM, "Balanced")
    with pytest.raises(UnknownFinding):
        model.explain(DICOM, "Asthma")


def test_without_a_name_the_first_release_that_can_be_trusted_is_loaded(bundle_path, tmp_path, monkeypatch, caplog):
    newest, _ = (copy_bundle(bundle_path, tmp_path, version) for version in ("1.1.0", "1.0.0"))
    monkeypatch.setattr(module, "candidates", partial(candidates, models_dir=tmp_path))
    assert load_model().manifest.version == "1.1.0"
    (newest / HEAD_NAME).write_bytes(b"other weights")
    assert load_model().manifest.version == "1.0.0"
    assert str(newest) in caplog.text
    with pytest.raises(HashMismatch):
        load_model(newest)


def test_a_bundle_is_proven_on_its_golden_inputs(bundle_path, monkeypatch):
    def wrong(*_):
        raise GoldenMismatch("other numbers")

    monkeypatch.setattr("service.model.predictor.Predictor.replay_golden", wrong)
    with pytest.raises(GoldenMismatch):
        load_model(bundle_path)


def test_importing_the_package_loads_nothing_and_predicting_needs_no_library_of_training(bundle_path):
    code = (
        "import sys; from service import model; assert not {'numpy', 'cv2', 'pydantic'} & set(sys.modules); "
        f"model.load_model({str(bundle_path)!r}).predict('tests/films/phantom.png'); "
        "assert not {'torch', 'sklearn', 'scipy', 'bentoml', 'prometheus_client'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
