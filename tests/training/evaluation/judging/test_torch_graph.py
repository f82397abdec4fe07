"""The bundle's graph in PyTorch: what ONNX Runtime computes, with gradients."""

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from export.graph import ServingGraph, to_onnx
from service.model.findings import FINDINGS
from service.model.grad_cam import GradCam
from service.model.manifest import GRAPH_NAME
from service.model.predictor import OUTPUT_NAMES, Predictor
from tests.conftest import phantom_inputs
from training.errors import ExportError
from training.evaluation.judging.torch_graph import TorchGraph
from training.evaluation.parts.attention.checks import grad_cam_maps, randomised_stages

TOLERANCE = 1e-4


def run_onnx(model: onnx.ModelProto, images: np.ndarray) -> dict[str, np.ndarray]:
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return dict(zip(OUTPUT_NAMES, session.run(list(OUTPUT_NAMES), {"image": images}), strict=True))


def one_node(node: onnx.NodeProto, *initializers: onnx.TensorProto) -> onnx.ModelProto:
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, None)
    out = helper.make_tensor_value_info("out", TensorProto.FLOAT, None)
    graph = helper.make_graph([node], "one", [image], [out], initializer=list(initializers))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("architecture", "side_px"),
    [("tf_efficientnet_lite0", 224), ("efficientnet_b0", 160), ("resnet50", 96), ("densenet121", 96)],
)
def test_every_output_of_every_exported_architecture_equals_onnx_runtime(settled_network, architecture, side_px):
    model = to_onnx(ServingGraph(settled_network(architecture, side_px=side_px)), side_px)
    images = phantom_inputs(range(3), side_px)[0]
    expected, graph = run_onnx(model, images), TorchGraph(model)
    for image in (torch.from_numpy(images), torch.from_numpy(images).float()):
        actual = graph(image)
        assert tuple(actual) == graph.output_names == OUTPUT_NAMES
        for name, values in expected.items():
            scale = max(1.0, float(np.abs(values).max()))
            np.testing.assert_allclose(actual[name].numpy() / scale, values / scale, atol=TOLERANCE, err_msg=name)


def test_gradients_reach_the_image_and_equal_finite_differences(bundle):
    graph = TorchGraph.open(bundle.file(GRAPH_NAME)).double()
    image = torch.from_numpy(phantom_inputs(range(1))[0]).double().requires_grad_()
    # The graph computes in float32 after its cast; a direction of many pixels gives a difference well above its rounding.
    direction = torch.sign(torch.autograd.grad(_logit(graph, image), image)[0])
    (gradient,) = torch.autograd.grad(_logit(graph, image), image)
    step = 1e-3
    with torch.no_grad():
        difference = (_logit(graph, image + step * direction) - _logit(graph, image - step * direction)) / (2 * step)
    assert difference.item() == pytest.approx((gradient * direction).sum().item(), rel=0.05)


def _logit(graph, image):
    return graph(image, ("logits",))["logits"][0, 1]


def test_an_unknown_operator_is_refused_by_name():
    with pytest.raises(ExportError, match=r"operator Erf .* does not interpret"):
        TorchGraph(one_node(helper.make_node("Erf", ["image"], ["out"])))


def test_an_unusual_form_of_a_known_operator_is_refused():
    weight = numpy_helper.from_array(np.ones((2, 2), np.float32), "weight")
    with pytest.raises(ExportError, match=r"Gemm has \{'transB': 0\}"):
        TorchGraph(one_node(helper.make_node("Gemm", ["image", "weight"], ["out"], transB=0), weight))


def test_uneven_padding_is_put_where_onnx_means_it():
    weight = numpy_helper.from_array(np.ones((1, 1, 1, 1), np.float32), "weight")
    attributes = {"pads": [1, 2, 3, 4], "strides": [1, 1], "dilations": [1, 1], "kernel_shape": [1, 1], "group": 1}
    model = one_node(helper.make_node("Conv", ["image", "weight"], ["out"], **attributes), weight)
    image = np.ones((1, 1, 2, 2), np.float32)
    (expected,) = ort.InferenceSession(model.SerializeToString()).run(None, {"image": image})
    np.testing.assert_array_equal(TorchGraph(model)(torch.from_numpy(image))["out"].numpy(), expected)


def test_maps_through_the_graph_are_the_services_own(bundle):
    images = phantom_inputs(range(2))[0]
    predictor, cam = Predictor.from_bundle(bundle), GradCam.from_bundle(bundle)
    maps = grad_cam_maps(TorchGraph.open(bundle.file(GRAPH_NAME)), images, [0, 2])
    for image, target, found in zip(images, (0, 2), maps, strict=True):
        expected = cam.grid(predictor.predict(image[None], ("features",))["features"][0], FINDINGS[target])
        np.testing.assert_allclose(found, expected, atol=1e-3)


def test_layers_are_randomised_from_the_output_down_and_keep_their_scale(bundle):
    graph, original = (TorchGraph.open(bundle.file(GRAPH_NAME)) for _ in range(2))
    names = graph.weight_names
    stages = randomised_stages(graph, seed=0)
    assert next(stages) == (1, names[-1])
    changed = [name for name in names if not torch.equal(graph.weight(name), original.weight(name))]
    assert changed == [names[-1]]
    assert [count for count, _ in stages] == [2, 3, 6, 12, 24, len(names)]
    for name in names:
        assert not torch.equal(graph.weight(name), original.weight(name))
    largest = max(names, key=lambda name: graph.weight(name).numel())
    assert graph.weight(largest).std().item() == pytest.approx(original.weight(largest).std().item(), rel=0.02)
