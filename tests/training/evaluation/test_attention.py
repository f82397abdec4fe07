"""Measures of attention maps against closed forms, and the whole part on phantoms."""

import json
from pathlib import Path

import numpy as np
import pytest

from service.model.findings import Finding
from service.model.manifest import GRAPH_NAME
from tests.conftest import phantom_inputs
from tests.support.phantom_evidence import NoLungs, PhantomLungs, phantom_evidence
from training.data.folder import FilmFile
from training.evaluation.judging.altered import film_rng
from training.evaluation.judging.torch_graph import TorchGraph
from training.evaluation.measures.attention_maps import deletion_and_insertion, random_grid, rank_correlation, share_inside
from training.evaluation.measures.randomised import grad_cam_maps, randomised_stages
from training.evaluation.parts import attention
from training.evaluation.parts.attention import CHECKS_NAME, PART, ZONES_NAME, describe_attention, measure_attention


def flat(share_marked: float) -> tuple[np.ndarray, np.ndarray]:
    """A grey film [32, 32] with bright upper rows, and a map [32, 32] that attends on them more the higher they are."""
    image = np.full((32, 32), 10, np.uint8)
    image[: round(32 * share_marked)] = 250
    return image, np.linspace(1, 0, 32, dtype=np.float32)[:, None].repeat(32, axis=1)


def test_share_inside_is_the_weight_of_the_map_in_the_mask():
    mask = np.zeros((8, 8), bool)
    mask[:4] = True
    assert share_inside(np.ones((8, 8), np.float32), mask) == 0.5
    assert share_inside(mask.astype(np.float32), mask) == 1.0
    assert share_inside(np.array([[3.0], [1.0]], np.float32).repeat(4, axis=0).repeat(8, axis=1), mask) == 0.75
    assert np.isnan(share_inside(np.zeros((8, 8), np.float32), mask))


def test_deletion_and_insertion_of_a_known_linear_model():
    # The model scores the share of bright pixels left among the upper quarter, which the map marks first.
    image, grid = flat(0.25)

    def bright(images):
        return (images[:, :8] > 200).mean(axis=(1, 2))

    deletion, insertion = deletion_and_insertion(image, grid, bright)
    # Falls in a straight line from 1 to 0 over the first quarter: a triangle of 1/8. Insertion rises over the same quarter.
    assert deletion == pytest.approx(0.125, abs=0.01)
    kept, left = deletion_and_insertion(image, grid[::-1].copy(), bright)
    assert kept == pytest.approx(0.875, abs=0.01)
    assert insertion > 0.95 > left


def test_a_score_that_ignores_the_film_has_flat_curves():
    image, grid = flat(0.5)
    assert deletion_and_insertion(image, grid, lambda images: np.full(len(images), 0.3)) == pytest.approx((0.3, 0.3))


def test_curves_begin_and_end_with_the_whole_film_and_none():
    image, grid = flat(0.5)
    seen = []

    def record(images):
        seen.append(images.copy())
        return np.zeros(len(images))

    deletion_and_insertion(image, grid, record)
    deleted, inserted = seen
    np.testing.assert_array_equal(deleted[0], image)
    assert len(np.unique(deleted[-1])) == 1
    np.testing.assert_array_equal(inserted[-1], image)
    assert inserted[0].std() < image.std()


def test_rank_correlation_is_spearmans_and_undefined_for_a_constant_map():
    grid = random_grid((7, 7), film_rng(0, "film"))
    assert rank_correlation(grid, grid**3) == pytest.approx(1.0)
    assert rank_correlation(grid, -grid) == pytest.approx(-1.0)
    assert np.isnan(rank_correlation(grid, np.zeros_like(grid)))
    unrelated = [rank_correlation(grid, random_grid((7, 7), film_rng(0, str(n)))) for n in range(200)]
    assert np.mean(unrelated) == pytest.approx(0.0, abs=0.04)


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


def explained(path: str, predicted: int, source: str) -> attention._Explained:
    film = FilmFile(Path(path), path, "test", Finding.NORMAL, source, None)
    return attention._Explained(film, np.zeros((8, 8), np.uint8), predicted, np.zeros((7, 7), np.float32), None)


def test_the_control_of_a_map_is_that_of_a_film_as_unlike_as_there_is():
    films = [explained(f"{number}.png", number % 2, f"clinic {number // 6}") for number in range(12)]
    for film, other in zip(films, attention._unlike(films, seed=0), strict=True):
        assert (other.predicted, other.film.source) != (film.predicted, film.film.source)
        assert other.predicted != film.predicted
        assert other.film.source != film.film.source
    alike = [explained(f"{number}.png", 0, f"clinic {number % 2}") for number in range(6)]
    assert all(a.film.source != b.film.source for a, b in zip(alike, attention._unlike(alike, seed=0), strict=True))


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
    assert verdict in "\n".join(attention._describe_curves(values))


@pytest.mark.parametrize(
    ("spearman", "blank", "verdict"),
    [
        (0.1, 0, "nothing of the map is left"),
        (-0.6, 0, "maps still go with"),
        (0.1, 8, "Too few maps"),
        (None, 9, "Too few maps"),
    ],
)
def test_what_is_left_of_a_map_without_weights_is_said_with_its_sign_and_number(spearman, blank, verdict):
    stage = {"layers": 2, "lowest": "stem", "spearman": spearman, "blank": blank}
    values = {"films": 9, "layers": 2, "stages": [stage], "another_film": {"spearman": 0.1, "blank": 0}}
    assert verdict in "\n".join(attention._describe_randomised(values))


@pytest.mark.slow
def test_report_and_pictures_come_from_the_values_alone(measured, tmp_path):
    values = json.loads(json.dumps(measured))
    PART.draw(values, tmp_path / "figures")
    assert {path.name for path in (tmp_path / "figures").iterdir()} == {ZONES_NAME, CHECKS_NAME}
    text = describe_attention(values)
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
    assert "### Attention by zone" in describe_attention(values)
