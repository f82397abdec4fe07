import dataclasses
from pathlib import Path

import numpy as np
import onnx
import pytest

from export.graph import ServingGraph, set_temperature, to_onnx
from export.parity import TOLERANCES, check_parity
from service.model.bundle import ModelBundle
from service.model.manifest import GRAPH_NAME
from service.model.predictor import INPUT_NAME, OUTPUT_NAMES, Predictor
from tests.conftest import SettledNetwork, phantom_inputs
from training.errors import ExportError, ParityFailed
from training.network.onnx_graph import OPSET

# Smaller than what ships, because converting and running four architectures takes long enough.
SMALL_SIDE_PX = 96


def predictor_of(model: onnx.ModelProto, bundle: ModelBundle, folder: Path, side_px: int) -> Predictor:
    """The service's predictor on a graph that has no bundle of its own."""
    onnx.save_model(model, folder / GRAPH_NAME)
    preprocess = bundle.manifest.preprocess.model_copy(update={"image_size_px": side_px})
    manifest = bundle.manifest.model_copy(update={"preprocess": preprocess})
    return Predictor.from_bundle(dataclasses.replace(bundle, path=folder, manifest=manifest))


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["efficientnet_b0", "resnet50", "densenet121"])  # the shared bundle is a Lite0
def test_each_architecture_converts_and_agrees(architecture, settled_network, bundle, tmp_path):
    graph = ServingGraph(settled_network(architecture, side_px=SMALL_SIDE_PX))
    model = to_onnx(graph, SMALL_SIDE_PX)
    set_temperature(graph, model, 1.4)
    films, _ = phantom_inputs(range(40, 52), SMALL_SIDE_PX)
    report = check_parity(graph, predictor_of(model, bundle, tmp_path, SMALL_SIDE_PX), films)
    assert report["batch_sizes"] == (1, 2, 7, 16)
    for kind in ("real", "random"):
        assert set(report[kind]) == set(OUTPUT_NAMES)
        for name, output in report[kind].items():
            assert output["allowed"] == pytest.approx(TOLERANCES[name] * max(1, output["magnitude"]))
        # Outputs that are all alike would agree whatever the graph does.
        assert report[kind]["logits"]["magnitude"] > 0.05


@pytest.fixture(scope="module")
def small_graph(settled_network: SettledNetwork) -> tuple[ServingGraph, onnx.ModelProto]:
    graph = ServingGraph(settled_network("resnet18", side_px=SMALL_SIDE_PX))
    return graph, to_onnx(graph, SMALL_SIDE_PX)


@pytest.fixture
def converted(small_graph: tuple[ServingGraph, onnx.ModelProto]) -> tuple[ServingGraph, onnx.ModelProto]:
    """A small graph that the test may change."""
    graph, model = small_graph
    return graph, onnx.ModelProto.FromString(model.SerializeToString())


def test_the_graph_reads_grey_bytes_in_batches_of_any_size(converted):
    _, model = converted
    (image,) = model.graph.input
    batch, *sides = image.type.tensor_type.shape.dim
    assert image.name == INPUT_NAME
    assert image.type.tensor_type.elem_type == onnx.TensorProto.UINT8
    assert batch.dim_param and [side.dim_value for side in sides] == [SMALL_SIDE_PX, SMALL_SIDE_PX]
    assert [output.name for output in model.graph.output] == list(OUTPUT_NAMES)
    assert [(opset.domain, opset.version) for opset in model.opset_import] == [("", OPSET)]


def test_a_graph_without_its_temperature_is_refused(converted):
    graph, model = converted
    kept = [initializer for initializer in model.graph.initializer if initializer.name != "temperature"]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    with pytest.raises(ExportError, match="no initializer 'temperature'"):
        set_temperature(graph, model, 1.4)


@pytest.mark.parametrize("output", ["logits", "features"])
def test_a_graph_that_differs_from_its_network_fails_parity(output, converted, bundle, tmp_path):
    graph, model = converted
    set_temperature(graph, model, 1.0)
    changed = {"logits": "network.head.classifier.bias", "features": "network.mean"}[output]
    for initializer in model.graph.initializer:
        if initializer.name == changed:
            value = onnx.numpy_helper.to_array(initializer)
            initializer.CopyFrom(onnx.numpy_helper.from_array(value + np.float32(0.01), changed))
    films, _ = phantom_inputs(range(3), SMALL_SIDE_PX)
    with pytest.raises(ParityFailed, match=rf"{output} of real images by .* \(allowed"):
        check_parity(graph, predictor_of(model, bundle, tmp_path, SMALL_SIDE_PX), films)


def test_outputs_that_are_not_numbers_fail_parity(converted, bundle, tmp_path):
    graph, model = converted
    set_temperature(graph, model, float("nan"))
    films, _ = phantom_inputs(range(3), SMALL_SIDE_PX)
    with pytest.raises(ParityFailed, match="probabilities of real images by nan"):
        check_parity(graph, predictor_of(model, bundle, tmp_path, SMALL_SIDE_PX), films)
