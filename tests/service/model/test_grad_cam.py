import numpy as np
import pytest
import torch
from captum.attr import LayerGradCam

from export.phantom import phantom_film
from service.model.bundle import ModelBundle
from service.model.errors import ManifestInvalid
from service.model.findings import FINDINGS, Finding
from service.model.grad_cam import GradCam, zone_shares
from service.model.manifest import HEAD_NAME
from service.model.model import Model
from service.model.predictor import Predictor
from service.model.site_profile import SiteHead
from tests.support.encoded_films import encode, film
from tests.support.site_profiles import make_profile, site_head
from training.network.checkpoint import load_checkpoint
from training.network.classifier import build_network

SIX_ZONES = ["right_upper", "right_middle", "right_lower", "left_upper", "left_middle", "left_lower"]


@pytest.fixture(scope="module")
def bundle(bundle_path):
    return ModelBundle.open(bundle_path)


@pytest.fixture(scope="module")
def grad_cam(bundle):
    return GradCam.from_bundle(bundle)


@pytest.fixture(scope="module")
def network(tiny_checkpoint):
    checkpoint = load_checkpoint(tiny_checkpoint)
    model = checkpoint["config"]["model"]
    network = build_network(model["architecture"], hidden=model["hidden"], dropout=model["dropout"])
    network.load_state_dict(checkpoint["model_state_dict"])
    return network.eval()


@pytest.mark.parametrize("target", FINDINGS)
@pytest.mark.parametrize("shown", FINDINGS)
def test_the_map_equals_grad_cam_of_the_whole_pytorch_network(bundle, grad_cam, network, target, shown):
    image = phantom_film(shown, 31, 224)[None]
    features = Predictor.from_bundle(bundle).predict(image, ("features",))["features"][0]
    grid = grad_cam.grid(features, target)

    normalised = network.normalise(torch.from_numpy(image)).requires_grad_()

    def logits(values):
        return network.head(network.features(values).mean(dim=(2, 3)))

    whole = LayerGradCam(logits, network.backbone).attribute(normalised, FINDINGS.index(target), relu_attributions=True)
    expected = whole[0, 0].detach().numpy()
    expected = expected / expected.max() if expected.max() > 0 else expected
    assert grid.shape == expected.shape == (7, 7)
    assert np.abs(grid - expected).max() <= 1e-4


@pytest.mark.parametrize("target", FINDINGS)
@pytest.mark.parametrize("shown", FINDINGS)
def test_the_map_of_a_site_equals_grad_cam_through_its_head_on_the_whole_pytorch_network(bundle, network, target, shown):
    site = site_head(bundle.manifest.head.features, seed=2)
    image = phantom_film(shown, 31, 224)[None]
    features = Predictor.from_bundle(bundle).predict(image, ("features",))["features"][0]
    grid = GradCam.from_bundle(bundle, site).grid(features, target)

    feature_map = network.features(network.normalise(torch.from_numpy(image))).detach().requires_grad_()
    pooled = feature_map.mean(dim=(2, 3))
    unit = pooled / pooled.square().sum().sqrt()
    logits = torch.from_numpy(site.scale) * network.head(pooled) + unit @ torch.from_numpy(site.weights).T
    logits[0, FINDINGS.index(target)].backward()
    cam = torch.relu((feature_map.grad.mean(dim=(2, 3), keepdim=True) * feature_map).sum(dim=1))[0].detach().numpy()
    expected = cam / cam.max() if cam.max() > 0 else cam
    assert np.abs(grid - expected).max() <= 1e-4


def test_the_sites_head_changes_the_map_and_one_that_adds_nothing_does_not(bundle, grad_cam):
    features = Predictor.from_bundle(bundle).predict(phantom_film(Finding.PNEUMONIA, 31, 224)[None], ("features",))["features"][
        0
    ]
    site = site_head(bundle.manifest.head.features, seed=2)
    nothing = SiteHead(np.ones(1, np.float32), np.zeros_like(site.weights), np.zeros(3, np.float32))
    maps = [GradCam.from_bundle(bundle, head).grid(features, Finding.PNEUMONIA) for head in (None, nothing, site)]
    released = grad_cam.grid(features, Finding.PNEUMONIA)
    assert np.array_equal(maps[0], released)
    assert np.abs(maps[1] - released).max() <= 1e-6
    assert np.abs(maps[2] - released).max() > 0.05


def test_a_model_explains_the_head_that_answers(bundle, grad_cam, tmp_path):
    site, data = site_head(bundle.manifest.head.features, seed=2), encode(film(224), "PNG")
    served = Model.from_bundle(bundle, profile=make_profile(bundle, tmp_path, head=site))
    without_head = Model.from_bundle(bundle, profile=make_profile(bundle, tmp_path, version=2))
    released = Model.from_bundle(bundle).explain(data, "Pneumonia")[1].grid
    assert np.array_equal(without_head.explain(data, "Pneumonia")[1].grid, released)
    assert np.abs(served.explain(data, "Pneumonia")[1].grid - released).max() > 0.05


def test_features_are_left_as_they_were(grad_cam, bundle):
    features = Predictor.from_bundle(bundle).predict(film(224)[None], ("features",))["features"][0]
    before = features.copy()
    grad_cam.grid(features, Finding.TUBERCULOSIS)
    assert np.array_equal(features, before)


def test_nothing_that_speaks_for_the_target_is_an_empty_map(grad_cam, bundle):
    features = np.zeros((bundle.manifest.head.features, 7, 7), np.float32)
    site = GradCam.from_bundle(bundle, site_head(bundle.manifest.head.features))
    for each in (grad_cam, site):
        assert not each.grid(features, Finding.NORMAL).any()


def test_a_head_of_another_shape_is_refused(bundle):
    narrower = bundle.manifest.model_copy(update={"head": bundle.manifest.head.model_copy(update={"hidden": 63})})
    with pytest.raises(ManifestInvalid, match=HEAD_NAME):
        GradCam.from_bundle(ModelBundle(bundle.path, narrower))


@pytest.mark.parametrize(("row", "column", "zone"), [(0, 0, "right_upper"), (3, 0, "right_middle"), (6, 6, "left_lower")])
def test_the_patients_right_is_the_pictures_left(row, column, zone):
    grid = np.zeros((7, 7), np.float32)
    grid[row, column] = 1
    shares = zone_shares(grid)
    assert list(shares) == SIX_ZONES
    assert shares[zone] == pytest.approx(1)


def test_zone_shares_sum_to_one_and_cells_on_a_border_are_divided():
    shares = zone_shares(np.ones((7, 7), np.float32))
    assert sum(shares.values()) == pytest.approx(1)
    assert all(share == pytest.approx(1 / 6) for share in shares.values())
    middle_column = np.zeros((7, 7), np.float32)
    middle_column[0, 3] = 1
    assert zone_shares(middle_column)["left_upper"] == pytest.approx(0.5)


def test_an_empty_map_favours_no_zone():
    assert set(zone_shares(np.zeros((7, 7), np.float32)).values()) == {1 / 6}
