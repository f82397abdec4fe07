"""Frozen features, held against the network itself."""

import numpy as np
import pytest
import torch

from service.film.preprocessing import PreprocessSpec, decode, to_model_input
from service.model.findings import FINDINGS
from training.config_file import config_from_dict
from training.data.folder import scan_folder
from training.data.validation import validate_dataset
from training.search.ablation import BASELINE, row_augment
from training.search.frozen_features import FrozenBackbone

pytestmark = pytest.mark.usefixtures("one_torch_thread")


@pytest.fixture(scope="module")
def backbone():
    document = {
        "data": {"image_size_px": 64, "near_duplicate_bits": 3},
        "augment": {"resize_px": 64},
        "model": {"architecture": "mobilenetv3_small_050", "hidden": 16, "weights": "none"},
    }
    return FrozenBackbone.build(config_from_dict(document), torch.device("cpu"))


def training_films(data):
    return [film for film in validate_dataset(scan_folder(data), threads=1).usable if film.split == "train"]


def test_features_of_films_are_what_the_network_pools(backbone, data):
    films = training_films(data)[:5]
    features = backbone.of_films(films, label="")
    assert features.pooled.shape == (1, 5, backbone.width)
    spec = PreprocessSpec(image_size_px=64)
    images = np.stack([to_model_input(decode(film.path.read_bytes(), spec), spec) for film in films])
    network = backbone._network
    with torch.no_grad():
        expected = network.features(network.normalise(torch.from_numpy(images))).mean(dim=(2, 3))
    torch.testing.assert_close(features.pooled[0], expected, rtol=1e-4, atol=1e-5)
    assert features.targets[0].argmax(dim=1).tolist() == [FINDINGS.index(film.finding) for film in films]


def test_without_augmentation_every_view_is_the_film_itself(backbone, data):
    films = training_films(data)
    plain, views = backbone.of_films(films, label=""), backbone.of_training_films(
        films, row_augment(BASELINE, 64), views=2, seed=0, label=""
    )  # fmt: skip
    for view in (0, 1):
        torch.testing.assert_close(views.pooled[view], plain.pooled[0], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(views.targets[view], plain.targets[0])


def test_augmented_views_differ_and_repeat_with_the_seed(backbone, data):
    films, noisy = training_films(data), row_augment("noise", 64)
    first, again, other = (backbone.of_training_films(films, noisy, views=2, seed=seed, label="") for seed in (0, 0, 1))
    torch.testing.assert_close(first.pooled, again.pooled, rtol=0, atol=0)
    assert not torch.allclose(first.pooled[0], first.pooled[1])
    assert not torch.allclose(first.pooled, other.pooled)


def test_mixup_mixes_targets_between_two_findings(backbone, data):
    targets = backbone.of_training_films(training_films(data), row_augment("mixup", 64), views=2, seed=0, label="").targets
    torch.testing.assert_close(targets.sum(dim=2), torch.ones(2, len(training_films(data))))
    assert ((targets > 0) & (targets < 1)).any()
