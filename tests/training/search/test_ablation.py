"""The ablation's rows, paired statistics and table."""

from dataclasses import asdict

import numpy as np
import pytest

from training.config import AugmentConfig
from training.data.augmentation import augment
from training.search.ablation import BASELINE, ROWS, Cell, recommend, row_augment, summarise, table


def cell(row, seed, accuracy, auc=0.9):
    return Cell(row, "", seed, accuracy, auc)


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
