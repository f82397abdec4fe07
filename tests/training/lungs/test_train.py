"""The lung segmenter trained on phantoms, whose lungs are known."""

import json
import shutil

import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn

from export.phantom import phantom_film
from service.commands.cxr import main
from service.model.findings import FINDINGS
from tests.support.training.phantom_lungs import phantom_mask, write_lung_films
from training.lungs.augmentation import augment_pair
from training.lungs.films import LungFilm
from training.lungs.fit import dice_scores
from training.lungs.network import LungNetwork, load_encoder_weights
from training.lungs.train import GRAPH_NAME, RESULT_NAME, write_graph


@pytest.fixture(scope="module")
def lungs(tmp_path_factory):
    return write_lung_films(tmp_path_factory.mktemp("lungs"))


def test_film_and_mask_move_together():
    mask = phantom_mask(96)
    film = np.where(mask, 30, 220).astype(np.uint8)
    for seed in range(12):
        changed, moved = augment_pair(film, mask, np.random.default_rng(seed))
        assert set(np.unique(moved)) <= {0, 1}
        # Erased patches lie anywhere and exposure changes; inside stays darker than the body around it.
        inside, around = changed[moved == 1], changed[(moved == 0) & (changed > 0)]
        assert np.median(inside) + 40 < np.median(around)


class _Known(nn.Module):
    """Finds the left half of every film, at half its size."""

    def forward(self, image):
        found = torch.zeros(len(image), image.shape[1] // 2, image.shape[2] // 2)
        found[:, :, : found.shape[2] // 2] = 1.0
        return found


@pytest.mark.parametrize(("lung_columns", "expected"), [(slice(0, 16), 1.0), (slice(16, 32), 0.0), (slice(0, 32), 2 / 3)])
def test_dice_is_twice_the_overlap_over_the_sum(lung_columns, expected):
    mask = np.zeros((32, 32), np.uint8)
    mask[:, lung_columns] = 1
    [score] = dice_scores(_Known(), [LungFilm("film", mask * 0, mask)])
    assert score == pytest.approx(expected, abs=0.04)


def test_the_graph_gives_what_the_network_gives_for_any_batch(tmp_path):
    torch.manual_seed(0)
    network = LungNetwork().eval()
    write_graph(network, 64, tmp_path / GRAPH_NAME)
    session = onnxruntime.InferenceSession(tmp_path / GRAPH_NAME)
    for count in (1, 3):
        images = np.stack([phantom_film(FINDINGS[0], seed, 64) for seed in range(count)])
        with torch.inference_mode():
            expected = network(torch.from_numpy(images)).numpy()
        [found] = session.run(["lungs"], {"image": images})
        assert found.shape == (count, 32, 32)
        np.testing.assert_allclose(found, expected, atol=1e-4)


def test_packaged_weights_fill_the_encoder_and_nothing_else():
    torch.manual_seed(0)
    network, untouched = LungNetwork(), LungNetwork()
    untouched.load_state_dict(network.state_dict())
    load_encoder_weights(network)
    changed = {name for name, value in network.state_dict().items() if not torch.equal(value, untouched.state_dict()[name])}
    assert changed and all(name.startswith("encoder.") for name in changed)


def test_too_few_films_are_refused_before_training(lungs, tmp_path, capsys):
    data = tmp_path / "data"
    shutil.copytree(lungs, data)
    rows = (data / "manifest.csv").read_text().splitlines()
    (data / "manifest.csv").write_text("\n".join(rows[:3]) + "\n")
    assert main(["lungs", "--data", str(data), "--out", str(tmp_path / "out")]) == 1
    assert "too few to hold a fifth out" in capsys.readouterr().err


@pytest.mark.slow
def test_training_on_phantoms_finds_the_lungs_of_those_held_out(lungs, tmp_path, capsys):
    assert main(["lungs", "--data", str(lungs), "--out", str(tmp_path), "--epochs", "100", "--side-px", "64"]) == 0
    result = json.loads((tmp_path / RESULT_NAME).read_text())
    assert (result["films"], result["held_out"], result["side_px"]) == (16, 4, 64)
    assert result["dice_lowest"] > 0.85
    assert f"{result['dice_mean']:.4f}" in capsys.readouterr().out
    assert (tmp_path / GRAPH_NAME).is_file()
