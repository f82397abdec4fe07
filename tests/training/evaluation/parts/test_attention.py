"""The attention part on phantoms, and what its text says."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from service.model.findings import FINDINGS, Finding
from service.model.grad_cam import GradCam
from tests.conftest import phantom_inputs
from tests.support.training.phantom_evidence import NoLungs, PhantomLungs, phantom_evidence
from training.data.folder import FilmFile
from training.evaluation.measures.attention_maps import rank_correlation
from training.evaluation.parts.attention import location
from training.evaluation.parts.attention.checks import (
    _dissimilar,
    describe_curves,
    describe_randomised,
    network_maps,
    randomise,
)
from training.evaluation.parts.attention.maps import Explained
from training.evaluation.parts.attention.part import PART, measure_attention


def explain_phantoms(count: int) -> list[Explained]:
    films = zip(phantom_inputs(range(count))[0], [0, 1, 2, 0], strict=False)
    return [replace(explained("", predicted, ""), image=image) for image, predicted in films]


def test_maps_through_the_network_are_the_services_own(bundle, export_data, tmp_path):
    evidence, films = phantom_evidence(bundle, export_data, tmp_path), explain_phantoms(2)
    cam = GradCam.from_bundle(bundle)
    for film, found in zip(films, network_maps(evidence.network(), films), strict=True):
        features = evidence.predictor.predict(film.image[None], ("features",))["features"][0]
        np.testing.assert_allclose(found, cam.grid(features, FINDINGS[film.predicted]), atol=1e-3)


@pytest.mark.slow
def test_a_randomised_network_keeps_its_scale_and_gives_other_maps(bundle, export_data, tmp_path):
    evidence, films = phantom_evidence(bundle, export_data, tmp_path), explain_phantoms(4)
    network, original = evidence.network(), evidence.network()
    before = network_maps(network, films)
    randomise(network, torch.Generator().manual_seed(0))
    for (name, drawn), trained in zip(network.named_parameters(), original.parameters(), strict=True):
        assert torch.equal(drawn, trained) == (drawn.ndim < 2), name
    drawn, trained = network.backbone.model.conv_head.weight, original.backbone.model.conv_head.weight
    assert drawn.std().item() == pytest.approx(trained.std().item(), rel=0.02)
    correlations = [rank_correlation(*pair) for pair in zip(before, network_maps(network, films), strict=True)]
    assert np.nanmean(correlations) < 0.6


@pytest.fixture(scope="module")
def measured(bundle, export_data, tmp_path_factory):
    evidence = phantom_evidence(bundle, export_data, tmp_path_factory.mktemp("local"), PhantomLungs())
    return measure_attention(evidence, films=9, curve_films=4, randomised_films=3)


@pytest.mark.slow
def test_attention_is_measured_on_the_stated_subsets(measured):
    json.dumps(measured, allow_nan=False)
    assert measured["zones"]["films"] == measured["lungs"]["films"] + measured["lungs"]["left_out"] == 9
    assert measured["curves"]["films"] == 4
    assert measured["randomised"]["films"] == 3
    everywhere = [value for name, value in measured["zones"]["all"].items() if name != "interval_95"]
    assert sum(everywhere) == pytest.approx(1.0, abs=1e-5)
    # Two ellipses, 0.145 x 0.33 of the sides each.
    assert measured["lungs"]["all"]["area"] == pytest.approx(2 * np.pi * 0.145 * 0.33, abs=0.01)


def explained(path: str, predicted: int, source: str) -> Explained:
    film = FilmFile(Path(path), path, "test", Finding.NORMAL, source, None)
    return Explained(film, np.zeros((8, 8), np.uint8), predicted, np.zeros((7, 7), np.float32), None)


def test_the_control_of_a_map_is_that_of_the_most_dissimilar_film_there_is():
    films = [explained(f"{number}.png", number % 2, f"clinic {number // 6}") for number in range(12)]
    for film, other in zip(films, _dissimilar(films, seed=0), strict=True):
        assert (other.predicted, other.film.source) != (film.predicted, film.film.source)
        assert other.predicted != film.predicted
        assert other.film.source != film.film.source
    alike = [explained(f"{number}.png", 0, f"clinic {number % 2}") for number in range(6)]
    assert all(a.film.source != b.film.source for a, b in zip(alike, _dissimilar(alike, seed=0), strict=True))


@pytest.mark.parametrize(
    ("intervals", "verdict"),
    [
        ({"deletion": [0.1, 0.2], "insertion": [0.01, 0.2]}, "Both favour Grad-CAM"),
        ({"deletion": [-0.1, 0.2], "insertion": [0.01, 0.2]}, "Only one of them favours"),
        ({"deletion": [-0.1, 0.2], "insertion": [-0.3, -0.1]}, "Neither favours Grad-CAM"),
    ],
)
def test_curves_speak_for_a_map_only_beyond_chance(intervals, verdict):
    means = {"deletion": 0.5, "insertion": 0.5, "interval_95": {"deletion": [0.4, 0.6], "insertion": [0.4, 0.6]}}
    values = {"films": 9, "grad_cam": means, "random": means, "gain": {**means, "interval_95": intervals}}
    assert verdict in "\n".join(describe_curves(values))


@pytest.mark.parametrize(
    ("spearman", "blank", "verdict"),
    [
        (0.1, 0, "nothing of the map is left"),
        (-0.6, 0, "maps still correlate with"),
        (0.1, 8, "Too few maps"),
        (None, 9, "Too few maps"),
    ],
)
def test_what_is_left_of_a_map_without_weights_is_said_with_its_sign_and_number(spearman, blank, verdict):
    random, other = {"spearman": spearman, "blank": blank}, {"spearman": 0.1, "blank": 0}
    values = {"films": 9, "head_random": other, "all_random": random, "another_film": other}
    assert verdict in "\n".join(describe_randomised(values))


@pytest.mark.slow
def test_report_and_plots_come_from_the_values_alone(measured, tmp_path):
    values = json.loads(json.dumps(measured))
    PART.draw(values, tmp_path / "figures")
    assert {path.name for path in (tmp_path / "figures").iterdir()} == {location.PLOT_NAME}
    text = PART.describe(values)
    assert "times as much" in text


@pytest.mark.slow
@pytest.mark.parametrize("lungs", [None, NoLungs()])
def test_without_lungs_only_their_share_is_missing(bundle, export_data, tmp_path, lungs):
    evidence = phantom_evidence(bundle, export_data, tmp_path, lungs)
    values = measure_attention(evidence, films=3, curve_films=1, randomised_films=2)
    json.dumps(values, allow_nan=False)
    assert values["lungs"] is None or values["lungs"]["films"] == 0
    assert values["zones"]["films"] == 3
    PART.draw(values, tmp_path / "figures")
    assert "### Attention by zone" in PART.describe(values)
