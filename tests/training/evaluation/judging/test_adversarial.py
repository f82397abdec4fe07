"""Attacks against closed forms, and through a bundle's network."""

import numpy as np
import pytest
import torch

from tests.conftest import phantom_inputs
from tests.support.training.phantom_evidence import phantom_evidence
from training.evaluation.judging.adversarial import fgsm, pgd, random_noise

IMAGES = np.random.default_rng(0).integers(0, 256, (5, 6, 6), dtype=np.uint8)
LABELS = np.array([0, 1, 0, 1, 1])


def linear_model(weights: np.ndarray):
    """Two classes: the logit of class 1 is the weighted sum of the pixels, that of class 0 is 0."""
    matrix = torch.from_numpy(np.stack([np.zeros_like(weights), weights])).float()
    return lambda images: torch.einsum("nij,cij->nc", images, matrix)


def test_fgsm_on_a_linear_model_is_the_closed_form():
    weights = np.random.default_rng(1).normal(0, 1e-3, (6, 6))
    attacked = fgsm(linear_model(weights), IMAGES, LABELS, epsilon=4)
    away = np.where(LABELS == 1, -1, 1)[:, None, None]
    np.testing.assert_array_equal(attacked, np.clip(IMAGES + 4 * away * np.sign(weights), 0, 255))


def test_pgd_on_a_linear_model_ends_where_fgsm_does():
    weights = np.random.default_rng(1).normal(0, 1e-3, (6, 6))
    model = linear_model(weights)
    np.testing.assert_array_equal(pgd(model, IMAGES, LABELS, 4, seed=0), fgsm(model, IMAGES, LABELS, 4))


@pytest.mark.parametrize("epsilon", [1, 3, 8])
def test_every_attack_stays_within_epsilon_and_is_reproducible(epsilon):
    def curved(images):
        values = torch.sin(images / 3).sum(dim=(1, 2))
        return torch.stack([values, -values], dim=1)

    for attack in (
        lambda: fgsm(curved, IMAGES, LABELS, epsilon),
        lambda: pgd(curved, IMAGES, LABELS, epsilon, seed=0),
        lambda: random_noise(IMAGES, epsilon, seed=0),
    ):
        attacked = attack()
        assert attacked.dtype == np.uint8
        assert 0 < np.abs(attacked.astype(int) - IMAGES).max() <= epsilon
        np.testing.assert_array_equal(attacked, attack())


def test_pgd_finds_what_one_step_overshoots():
    inner = np.clip(IMAGES, 16, 239)

    def narrow(images):
        """The loss of class 0 peaks 2 grey levels above each pixel of `inner` and falls again beyond."""
        gain = torch.cos((images - torch.from_numpy(inner) - 2) * (np.pi / 4)).sum(dim=(1, 2))
        return torch.stack([torch.zeros_like(gain), gain], dim=1)

    labels = np.zeros(5, dtype=int)

    def loss(attacked):
        logits = narrow(torch.from_numpy(attacked).float())
        return torch.nn.functional.cross_entropy(logits, torch.from_numpy(labels)).item()

    assert loss(pgd(narrow, inner, labels, 8, seed=0)) > loss(fgsm(narrow, inner, labels, 8))


@pytest.mark.slow
def test_attacks_through_the_bundles_network_mislead_its_predictor_more_than_noise(bundle, export_data, tmp_path):
    images, labels = phantom_inputs(range(6))
    evidence = phantom_evidence(bundle, export_data, tmp_path)
    network = evidence.network()

    def logits(values):
        return network(values)[0]

    def of_truth(attacked):
        return evidence.predictor.predict(attacked)["probabilities"][np.arange(len(labels)), labels].mean()

    noise = of_truth(random_noise(images, 4, seed=0))
    once, often = of_truth(fgsm(logits, images, labels, 4)), of_truth(pgd(logits, images, labels, 4, seed=0))
    assert often < once < noise
