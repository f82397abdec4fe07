"""The lung-field segmenter on phantom films, whose lungs are known."""

import json
import pickle
import shutil
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn

from export.phantom import phantom_film
from service.model.errors import BundleNotFound, ManifestInvalid
from service.model.findings import FINDINGS
from training.errors import DatasetError
from training.lungs.augment import augment_pair
from training.lungs.films import LungFilm, hold_out, read_lung_films
from training.lungs.fit import dice_scores
from training.lungs.graph import GRAPH_NAME, write_graph
from training.lungs.network import LungNetwork, load_encoder_weights
from training.data.lung_segmenter import LungSegmenter, tidy
from training.lungs.train import RESULT_NAME, main


def phantom_mask(size_px: int) -> np.ndarray:
    """Where a phantom's lungs are drawn, but for a jitter of a hundredth of the side."""
    y, x = np.mgrid[0:size_px, 0:size_px] / size_px
    return np.any([((x - cx) / 0.145) ** 2 + ((y - 0.47) / 0.33) ** 2 < 1 for cx in (0.3, 0.7)], axis=0).astype(np.uint8)


@pytest.fixture(scope="module")
def lungs(tmp_path_factory):
    """Twenty phantoms of 200 px with masks, as a folder."""
    folder = tmp_path_factory.mktemp("lungs")
    rows = ["image,mask,source"]
    for seed in range(20):
        cv2.imwrite(str(folder / f"film{seed:02}.png"), phantom_film(FINDINGS[seed % 3], seed, 200))
        cv2.imwrite(str(folder / f"mask{seed:02}.png"), phantom_mask(200) * 255)
        rows.append(f"film{seed:02}.png,mask{seed:02}.png,phantom")
    (folder / "manifest.csv").write_text("\n".join(rows) + "\n")
    return folder


def test_films_and_masks_are_stretched_alike_and_masks_are_binary(lungs):
    films = read_lung_films(lungs, 96)
    assert [film.name for film in films] == sorted(film.name for film in films)
    assert {(film.film.shape, film.mask.shape, film.mask.dtype.name) for film in films} == {((96, 96), (96, 96), "uint8")}
    assert np.mean(films[0].mask != phantom_mask(96)) < 0.02


@pytest.mark.parametrize("missing", ["manifest.csv", "film03.png", "mask03.png"])
def test_what_is_missing_is_named(lungs, tmp_path, missing):
    for path in lungs.iterdir():
        if path.name != missing:
            (tmp_path / path.name).write_bytes(path.read_bytes())
    with pytest.raises(DatasetError, match=missing):
        read_lung_films(tmp_path, 96)


def test_a_mask_that_is_no_picture_is_named(lungs, tmp_path):
    for path in lungs.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "mask07.png").write_bytes(b"text")
    with pytest.raises(DatasetError, match="mask07"):
        read_lung_films(tmp_path, 96)


def test_a_fifth_is_held_out_the_same_one_for_the_same_seed(lungs):
    films = read_lung_films(lungs, 32)
    training, held_out = hold_out(films, seed=3)
    assert (len(training), len(held_out)) == (16, 4)
    assert {film.name for film in training}.isdisjoint(film.name for film in held_out)
    assert [film.name for film in hold_out(films, seed=3)[1]] == [film.name for film in held_out]
    assert [film.name for film in hold_out(films, seed=4)[1]] != [film.name for film in held_out]


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


def test_the_graph_does_not_tell_where_it_was_made(tmp_path):
    write_graph(LungNetwork().eval(), 64, tmp_path / GRAPH_NAME)
    written = (tmp_path / GRAPH_NAME).read_bytes()
    for trace in (str(Path.cwd()), "site-packages", "stack_trace"):
        assert trace.encode() not in written


def test_packaged_weights_fill_the_encoder_and_nothing_else():
    torch.manual_seed(0)
    network, untouched = LungNetwork(), LungNetwork()
    untouched.load_state_dict(network.state_dict())
    load_encoder_weights(network)
    changed = {name for name, value in network.state_dict().items() if not torch.equal(value, untouched.state_dict()[name])}
    assert changed and all(name.startswith("encoder.") for name in changed)


def test_tidying_keeps_two_large_regions_and_fills_their_holes():
    found = np.zeros((80, 80), bool)
    found[10:60, 10:30] = found[10:60, 50:70] = True
    found[30:35, 15:20] = False
    found[70:74, 38:42] = True
    lungs = tidy(found)
    assert lungs[32, 17] and not lungs[72, 40]
    assert lungs.sum() == 2 * 50 * 20
    assert not tidy(np.eye(80, dtype=bool)).any(), "nothing is large enough"


def test_the_released_segmenter_finds_the_lungs_of_a_phantom_at_any_size():
    segmenter = LungSegmenter.open(Path("models/lung-fields-1.0.0") / GRAPH_NAME)
    for side in (100, 224):
        found, drawn = segmenter.outline(phantom_film(FINDINGS[0], 7, side)), phantom_mask(side).astype(bool)
        assert found.shape == (side, side)
        assert 2 * np.sum(found & drawn) / (found.sum() + drawn.sum()) > 0.8


def test_a_segmenter_works_in_a_process_that_was_not_forked():
    segmenter = LungSegmenter.open(Path("models/lung-fields-1.0.0") / GRAPH_NAME)
    film = phantom_film(FINDINGS[0], 7, 100)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(segmenter.outline))(film), segmenter.outline(film))


def test_a_manifest_with_a_byte_order_mark_is_read_and_one_without_columns_is_named(lungs, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(lungs, data)
    rows = (data / "manifest.csv").read_text()
    (data / "manifest.csv").write_text(rows, encoding="utf-8-sig")
    assert len(read_lung_films(data, 64)) == len(rows.split()) - 1
    (data / "manifest.csv").write_text(rows.replace("image", "film", 1))
    with pytest.raises(DatasetError, match="lacks the column image or mask"):
        read_lung_films(data, 64)


def test_too_few_films_are_refused_before_training(lungs, tmp_path, capsys):
    data = tmp_path / "data"
    shutil.copytree(lungs, data)
    rows = (data / "manifest.csv").read_text().splitlines()
    (data / "manifest.csv").write_text("\n".join(rows[:3]) + "\n")
    assert main(["--data", str(data), "--out", str(tmp_path / "out")]) == 1
    assert "too few to hold a fifth out" in capsys.readouterr().err


def test_a_segmenter_that_is_missing_or_damaged_is_named(tmp_path):
    with pytest.raises(BundleNotFound, match=r"absent\.onnx.*training\.lungs"):
        LungSegmenter.open(tmp_path / "absent.onnx")
    (tmp_path / "damaged.onnx").write_bytes(b"nothing")
    with pytest.raises(ManifestInvalid, match=r"damaged\.onnx"):
        LungSegmenter.open(tmp_path / "damaged.onnx")


@pytest.mark.slow
def test_training_on_phantoms_finds_the_lungs_of_those_held_out(lungs, tmp_path, capsys):
    assert main(["--data", str(lungs), "--out", str(tmp_path), "--epochs", "100", "--side-px", "64"]) == 0
    result = json.loads((tmp_path / RESULT_NAME).read_text())
    assert (result["films"], result["held_out"], result["side_px"]) == (16, 4, 64)
    assert result["dice_lowest"] > 0.85
    assert f"{result['dice_mean']:.4f}" in capsys.readouterr().out
    assert (tmp_path / GRAPH_NAME).is_file()


def test_a_folder_without_films_is_refused_with_a_message(tmp_path, capsys):
    assert main(["--data", str(tmp_path)]) == 1
    assert "manifest.csv" in capsys.readouterr().err
