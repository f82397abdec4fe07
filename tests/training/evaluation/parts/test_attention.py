"""The attention part on phantoms, and what its text says."""

import json
from pathlib import Path

import numpy as np
import pytest

from service.model.findings import Finding
from service.model.manifest import GRAPH_NAME
from tests.conftest import phantom_inputs
from tests.support.training.phantom_evidence import NoLungs, PhantomLungs, phantom_evidence
from training.data.folder import FilmFile
from training.evaluation.judging.torch_graph import TorchGraph
from training.evaluation.measures.attention_maps import rank_correlation
from training.evaluation.parts.attention import location
from training.evaluation.parts.attention.checks import (
    _unlike,
    describe_curves,
    describe_randomised,
    grad_cam_maps,
    randomised_stages,
)
from training.evaluation.parts.attention.maps import Explained
from training.evaluation.parts.attention.part import CHECKS_NAME, PART, measure_attention


@pytest.mark.slow
def test_a_randomised_graph_gives_other_maps(bundle):
    graph = TorchGraph.open(bundle.file(GRAPH_NAME))
    images = phantom_inputs(range(4))[0]
    before = grad_cam_maps(graph, images, [0, 1, 2, 0])
    *_, last = randomised_stages(graph, seed=0)
    after = grad_cam_maps(graph, images, [0, 1, 2, 0])
    assert last[0] == len(graph.weight_names)
    correlations = [rank_correlation(*pair) for pair in zip(before, after, strict=True)]
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


def test_the_control_of_a_map_is_that_of_a_film_as_unlike_as_there_is():
    films = [explained(f"{number}.png", number % 2, f"clinic {number // 6}") for number in range(12)]
    for film, other in zip(films, _unlike(films, seed=0), strict=True):
        assert (other.predicted, other.film.source) != (film.predicted, film.film.source)
        assert other.predicted != film.predicted
        assert other.film.source != film.film.source
    alike = [explained(f"{number}.png", 0, f"clinic {number % 2}") for number in range(6)]
    assert all(a.film.source != b.film.source for a, b in zip(alike, _unlike(alike, seed=0), strict=True))


@pytest.mark.parametrize(
    ("intervals", "verdict"),
    [
        ({"deletion": [0.1, 0.2], "insertion": [0.01, 0.2]}, "Both speak for the map"),
        ({"deletion": [-0.1, 0.2], "insertion": [0.01, 0.2]}, "Only one of them speaks"),
        ({"deletion": [-0.1, 0.2], "insertion": [-0.3, -0.1]}, "Neither speaks for the map"),
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
    stage = {"layers": 2, "lowest": "stem", "spearman": spearman, "blank": blank}
    values = {"films": 9, "layers": 2, "stages": [stage], "another_film": {"spearman": 0.1, "blank": 0}}
    assert verdict in "\n".join(describe_randomised(values))


@pytest.mark.slow
def test_report_and_plots_come_from_the_values_alone(measured, tmp_path):
    values = json.loads(json.dumps(measured))
    PART.draw(values, tmp_path / "figures")
    assert {path.name for path in (tmp_path / "figures").iterdir()} == {location.PLOT_NAME, CHECKS_NAME}
    text = PART.describe(values)
    assert "times as much" in text
    assert f"figures/{CHECKS_NAME}" in text


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
