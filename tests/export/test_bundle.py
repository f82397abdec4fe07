import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from safetensors.numpy import load_file

from export.attach import attach
from export.bundle import staged
from service.model.errors import HashMismatch
from service.model.manifest import (
    DRIFT_REFERENCE_NAME,
    GOLDEN_NAME,
    GRAPH_NAME,
    HEAD_NAME,
    MANIFEST_NAME,
    MODEL_CARD_NAME,
    OUTLIERS_NAME,
    PARITY_NAME,
)
from service.model.predictor import Predictor
from training.errors import ExportError

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def copy(bundle_path: Path, tmp_path: Path) -> Path:
    """A bundle that the test may change."""
    return Path(shutil.copytree(bundle_path, tmp_path / "models" / bundle_path.name))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_bundle_holds_exactly_the_named_files(bundle):
    names = {GRAPH_NAME, HEAD_NAME, GOLDEN_NAME, OUTLIERS_NAME, DRIFT_REFERENCE_NAME, PARITY_NAME, MODEL_CARD_NAME}
    assert set(bundle.manifest.files) == names
    assert {path.name for path in bundle.path.iterdir()} == {*names, MANIFEST_NAME}


def test_the_graph_is_one_file(bundle):
    model = onnx.load(bundle.file(GRAPH_NAME), load_external_data=False)
    assert all(tensor.data_location == onnx.TensorProto.DEFAULT for tensor in model.graph.initializer)


def test_golden_outputs_reproduce(bundle):
    Predictor.from_bundle(bundle).replay_golden(bundle)
    with np.load(bundle.file(GOLDEN_NAME)) as golden:
        assert golden["images"].shape == (6, 224, 224) and golden["images"].dtype == np.uint8
        assert golden["probabilities"].shape == golden["logits"].shape == (6, 3)
        assert golden["embedding"].shape == (6, 1280)
        assert golden["probabilities"].std(axis=0).min() > 1e-3, "answers that are all alike would not tell a wrong graph"


def test_the_head_file_rebuilds_the_logits(bundle):
    head = load_file(bundle.file(HEAD_NAME))
    spec = bundle.manifest.head

    def norm(values: np.ndarray, name: str) -> np.ndarray:
        scaled = (values - head[f"{name}.running_mean"]) / np.sqrt(head[f"{name}.running_var"] + spec.norm_eps)
        return scaled * head[f"{name}.weight"] + head[f"{name}.bias"]

    with np.load(bundle.file(GOLDEN_NAME)) as golden:
        hidden = np.maximum(norm(golden["embedding"], "norm_in") @ head["hidden.weight"].T + head["hidden.bias"], 0)
        logits = norm(hidden, "norm_hidden") @ head["classifier.weight"].T + head["classifier.bias"]
        np.testing.assert_allclose(logits, golden["logits"], atol=1e-4)
    assert head["hidden.weight"].shape == (spec.hidden, spec.features)


def test_a_bundle_tells_nothing_of_the_machine_that_made_it(bundle):
    """No folder of this machine, no source line: in no file, and in no part of the graph."""
    traces = ["/tmp", "/home/", "site-packages", "stack_trace"]
    traces += [str(ROOT), str(Path.home()) + "/", str(bundle.path.parent), sys.prefix]
    for name, data in contents(bundle.path).items():
        text = data if name != GRAPH_NAME else names_in(data)
        for trace in traces:
            assert trace.encode() not in text, f"{name} contains {trace}"
        assert not re.search(rb'\.py\b(?!:)|File "', text), f"{name} names a source file"


def names_in(graph: bytes) -> bytes:
    """Everything in a graph but the weights, which are random bytes."""
    model = onnx.ModelProto.FromString(graph)
    for tensor in model.graph.initializer:
        tensor.ClearField("raw_data")
    return model.SerializeToString()


def test_a_failure_while_staging_leaves_nothing(tmp_path):
    target = tmp_path / "models" / "x-1.0.0"
    with pytest.raises(RuntimeError), staged(target) as folder:
        (folder / "half").write_text("written")
        raise RuntimeError
    assert list((tmp_path / "models").iterdir()) == []


def test_a_failure_while_replacing_leaves_the_old_bundle(copy):
    before = contents(copy.parent)
    with pytest.raises(RuntimeError), staged(copy, replace=True) as folder:
        (folder / "half").write_text("written")
        raise RuntimeError
    assert contents(copy.parent) == before


def test_an_existing_folder_is_replaced_only_when_asked(copy):
    with pytest.raises(ExportError, match="raise the version"), staged(copy):
        pass
    with staged(copy, replace=True) as folder:
        (folder / "new").write_text("content")
    assert contents(copy.parent) == {f"{copy.name}/new": b"content"}


def test_an_evaluation_is_not_attached_to_a_damaged_bundle(copy):
    (copy / GRAPH_NAME).write_bytes(b"damaged")
    with pytest.raises(HashMismatch):
        attach(copy, copy / "metrics.json", copy / MODEL_CARD_NAME)


STORE_SCRIPT = """
import sys
from pathlib import Path
from export.bundle import is_registered, register
from training.errors import ExportError
from service.model.bundle import ModelBundle

bundle = ModelBundle.open(Path(sys.argv[1]))
assert "bentoml" not in sys.modules, "importing export.bundle must not import bentoml"
assert not is_registered("chest-xray:1.0.0")
assert register(bundle) == "chest-xray:1.0.0"
try:
    register(bundle)
except ExportError as fault:
    assert "bentoml models delete chest-xray:1.0.0" in str(fault)
else:
    raise AssertionError("the second registration must be refused")
register(bundle, replace=True)

import bentoml

stored = bentoml.models.get("chest-xray:1.0.0")
assert [str(model.tag) for model in bentoml.models.list()] == ["chest-xray:1.0.0"]
assert ModelBundle.open(Path(stored.path)).manifest == bundle.manifest
print("stored in", stored.path)
"""


@pytest.mark.slow
def test_a_bundle_is_registered_in_the_model_store_once(bundle_path, tmp_path):
    """In a process of its own: BentoML reads BENTOML_HOME once, when it is imported."""
    environment = {**os.environ, "BENTOML_HOME": str(tmp_path / "bentoml"), "PYTHONPATH": str(ROOT)}
    run = subprocess.run(
        [sys.executable, "-c", STORE_SCRIPT, str(bundle_path)], env=environment, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    assert f"stored in {tmp_path / 'bentoml'}" in run.stdout
