"""The augmentation ablation: paired statistics by hand, frozen features against the network itself, the command on phantoms."""

import json
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from service.film.preprocessing import PreprocessSpec, decode, to_model_input
from service.model.findings import FINDINGS, Finding
from training.config import AugmentConfig, config_from_dict
from training.data.augmentation import augment
from training.data.folder import FilmFile, scan_folder
from training.data.subset import films_of_every_class, stratified_films
from training.data.validation import validate_dataset
from training.errors import ConfigError
from training.search import ablate as command
from training.search.ablate import main
from training.search.ablation import BASELINE, ROWS, Cell, recommend, row_augment, summarise, table
from training.search.frozen_features import Features, FrozenBackbone
from training.search.head_fit import fit_head

pytestmark = pytest.mark.usefixtures("one_torch_thread")
CONFIG = """
[data]
near_duplicate_bits = 3
balance = "class"
[model]
architecture = "mobilenetv3_small_050"
hidden = 16
weights = "none"
[optimiser]
batch_size = 8
"""


@pytest.fixture(scope="module")
def data(phantom_dataset):
    return phantom_dataset(films_per_class={"train": 6, "val": 3}, manifest=True)


@pytest.fixture(scope="module")
def backbone():
    document = {
        "data": {"image_size_px": 64, "near_duplicate_bits": 3},
        "augment": {"resize_px": 64},
        "model": {"architecture": "mobilenetv3_small_050", "hidden": 16, "weights": "none"},
    }
    return FrozenBackbone.build(config_from_dict(document), torch.device("cpu"))


def film_file(relative, finding, source):
    return FilmFile(Path(), relative, "train", finding, source, None)


def training_films(data):
    return [film for film in validate_dataset(scan_folder(data), workers=1).usable if film.split == "train"]


def options(data, config_path, out, *more):
    fixed = ["--films", "12", "--views", "2", "--epochs", "2", "--side-px", "64", "--device", "cpu"]
    return ["--data", str(data), "--config", str(config_path), "--out", str(out), *fixed, *more]


def cells_of(out):
    return json.loads((out / "cells.json").read_text())["cells"]


def cell(row, seed, accuracy, auc=0.9):
    return Cell(row, seed, accuracy, auc, 0.5)


def test_every_row_differs_from_the_baseline_in_what_it_names_and_in_nothing_else():
    baseline = asdict(row_augment(BASELINE, 224))
    for row in ROWS:
        changed = {name for name, value in asdict(row_augment(row, 224)).items() if value != baseline[name]}
        assert changed - {"resize_px"} == set(ROWS[row])
    assert row_augment("full", 224).resize_px == AugmentConfig().resize_px


def test_the_baseline_leaves_films_as_they_are():
    film = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)
    np.testing.assert_array_equal(augment(film, row_augment(BASELINE, 64), 64, np.random.default_rng(1)), film)


def test_deltas_are_paired_by_seed():
    cells = [cell(BASELINE, 0, 0.5), cell(BASELINE, 1, 0.7), cell("flip", 0, 0.52), cell("flip", 1, 0.74)]
    flip, baseline = summarise(cells)
    assert (flip.row, baseline.row) == ("flip", BASELINE), "the most accurate row comes first"
    assert flip.accuracy == pytest.approx((0.63, 0.22 / np.sqrt(2)))
    # 0.02 and 0.04: far less spread than the rows themselves have over seeds.
    assert flip.delta_accuracy == pytest.approx((0.03, 0.02 / np.sqrt(2)))
    assert baseline.delta_accuracy is None


def test_seeds_without_a_baseline_do_not_count_in_the_delta():
    flip = summarise([cell(BASELINE, 0, 0.5), cell("flip", 0, 0.6), cell("flip", 1, 0.9)])[0]
    assert flip.seeds == 2
    assert flip.delta_accuracy == (pytest.approx(0.1), None)
    assert flip.recommendation == "too few seeds"


@pytest.mark.parametrize(
    ("deltas", "said"),
    [
        ([0.02, 0.021, 0.022], "keep"),
        ([-0.02, -0.021, -0.022], "leave out"),
        # Mean 0.02, standard error 0.01: the interval reaches to 0.02 +- 0.043.
        ([0.02, 0.02 + 0.03 / np.sqrt(3) * 1.0, 0.02 - 0.03 / np.sqrt(3)], "leaning to keep"),
        ([-0.01, -0.03, 0.001], "leaning to leave out"),
        ([0.02, -0.02, 0.001], "no effect seen"),
        ([0.0, 0.0, 0.0], "no effect seen"),
        ([0.5], "too few seeds"),
        ([0.02, 0.02], "too few seeds"),
    ],
)
def test_the_recommendation_follows_from_delta_and_spread(deltas, said):
    assert recommend(deltas) == said


def test_the_table_shows_mean_spread_and_signed_delta_in_percent():
    text = table(summarise([cell(BASELINE, 0, 0.5), cell(BASELINE, 1, 0.7), cell("noise", 0, 0.48), cell("noise", 1, 0.7)]))
    noise = next(line for line in text.splitlines() if line.startswith("| noise"))
    assert "59.00 ± 15.56" in noise and "-1.00 ± 1.41" in noise and "noise 8" in noise
    assert "60.00 ± 14.14" in text


def test_a_subset_keeps_the_shares_of_classes_and_sources_and_larger_ones_hold_smaller_ones():
    films = [film_file(f"{finding}{i}", finding, f"s{i % 4 == 0}") for finding in FINDINGS for i in range(40)]
    small, large = stratified_films(films, 24, seed=3), stratified_films(films, 60, seed=3)
    assert set(small) < set(large)
    assert Counter((film.finding, film.source) for film in large) == {
        (finding, source): count for finding in FINDINGS for source, count in (("sTrue", 5), ("sFalse", 15))
    }
    assert small != stratified_films(films, 24, seed=4)
    assert stratified_films(films, 1000, seed=0) == films


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


def test_a_head_learns_separable_features_and_repeats_with_the_seed():
    rng = torch.Generator().manual_seed(0)
    labels = torch.arange(60) % 3
    pooled = torch.randn(1, 60, 8, generator=rng)
    pooled[0, torch.arange(60), labels] += 6.0
    features = Features(pooled, torch.nn.functional.one_hot(labels, 3).float().unsqueeze(0))
    films = [film_file(str(i), FINDINGS[label], "s") for i, label in enumerate(labels.tolist())]
    document = {"model": {"hidden": 16}, "optimiser": {"batch_size": 10, "learning_rate": 1e-2}}
    config = config_from_dict(document | {"schedule": {"epochs": 8, "warmup_epochs": 1}})
    figures = list(fit_head(features, films, features, config))
    assert len(figures) == 8 and figures[-1].accuracy == 1.0 and figures[-1].auc == 1.0
    assert figures[-1].loss < figures[0].loss
    assert list(fit_head(features, films, features, config)) == figures
    other = replace(config, run=replace(config.run, seed=1))
    assert list(fit_head(features, films, features, other)) != figures


def test_epochs_take_turns_among_the_views():
    pooled = torch.randn(2, 30, 8, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(30) % 3
    targets = torch.nn.functional.one_hot(labels, 3).float().expand(2, -1, -1)
    both, first = Features(pooled, targets), Features(pooled[:1], targets[:1])
    films = [film_file(str(i), FINDINGS[label], "s") for i, label in enumerate(labels.tolist())]
    config = config_from_dict({"model": {"hidden": 16}, "optimiser": {"batch_size": 10}, "schedule": {"epochs": 2}})
    with_both, with_first = (list(fit_head(features, films, first, config)) for features in (both, first))
    assert with_both[0] == with_first[0]
    assert with_both[1] != with_first[1]


def test_a_rerun_computes_only_the_cells_that_are_missing(data, config_path, tmp_path, capsys, monkeypatch):
    computed = []
    compute = command._compute
    monkeypatch.setattr(command, "_compute", lambda row, seed, *rest: computed.append((row, seed)) or compute(row, seed, *rest))
    out = tmp_path / "ablation"
    assert main(options(data, config_path, out, "--seeds", "1", "--only", "noise")) == 0
    assert computed == [(BASELINE, 0), ("noise", 0)]
    before = cells_of(out)
    assert main(options(data, config_path, out, "--seeds", "2", "--only", "noise", "mixup")) == 0
    assert computed[2:] == [("mixup", 0), (BASELINE, 1), ("noise", 1), ("mixup", 1)]
    assert cells_of(out)[:2] == before
    assert main(options(data, config_path, out, "--seeds", "2", "--only", "noise", "mixup")) == 0
    assert len(computed) == 6
    printed = capsys.readouterr().out
    assert "2 augmented views" in printed and "| mixup" in printed
    assert "| mixup" in (out / "ablation.md").read_text()


def test_a_killed_ablation_keeps_its_finished_cells(data, config_path, tmp_path, monkeypatch):
    compute = command._compute

    def die_at_noise(row, *rest):
        if row == "noise":
            raise KeyboardInterrupt
        return compute(row, *rest)

    out = tmp_path / "ablation"
    monkeypatch.setattr(command, "_compute", die_at_noise)
    with pytest.raises(KeyboardInterrupt):
        main(options(data, config_path, out, "--seeds", "1", "--only", "noise"))
    assert [(entry["row"], entry["seed"]) for entry in cells_of(out)] == [(BASELINE, 0)]


def test_cells_of_another_protocol_are_not_mixed_in(data, config_path, tmp_path, capsys):
    out = tmp_path / "ablation"
    only = ("--seeds", "1", "--only", BASELINE)
    assert main(options(data, config_path, out, *only)) == 0
    assert main(options(data, config_path, out, *only, "--epochs", "3")) == 1
    assert "another protocol (epochs)" in capsys.readouterr().err


def test_impossible_numbers_are_refused_by_name(data, config_path, tmp_path, capsys):
    assert main(options(data, config_path, tmp_path, "--seeds", "0")) == 1
    assert "--seeds is 0" in capsys.readouterr().err


def test_too_small_a_subset_is_refused_with_what_it_lacks(data):
    with pytest.raises(ConfigError, match=r"Of 2 films drawn none is of (Normal|Pneumonia|Tuberculosis); raise --films"):
        films_of_every_class(training_films(data), 2, seed=0)


def test_cells_see_nothing_of_a_source_that_is_held_out(data, config_path, tmp_path, monkeypatch):
    sources = []

    def watched(self, films, *arguments, **options):
        sources.append({film.source for film in films})
        raise ConfigError("seen enough")

    monkeypatch.setattr(FrozenBackbone, "of_films", watched)
    changed = tmp_path / "held_out.toml"
    changed.write_text(config_path.read_text().replace("[data]", '[data]\nheld_out_source = "source0"', 1))
    assert main(options(data, changed, tmp_path)) == 1
    assert sources == [{"source1"}]


def test_the_kinds_of_finding_are_all_in_a_small_subset(data):
    assert {film.finding for film in stratified_films(training_films(data), 6, seed=0)} == set(Finding)
