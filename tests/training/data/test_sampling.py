"""Which films are drawn, how often, and in which order."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from service.model.findings import FINDINGS, Finding
from training.config import DataConfig
from training.data.folder import UNKNOWN_SOURCE, FilmFile
from training.data.sampling import class_weights, epoch_order, film_weights, own_share
from training.devices import Processes
from training.errors import ConfigError


def films(**counts):
    """films(Normal_a=3) -> three Normal films of source a that exist only by name."""
    out = []
    for cell, count in counts.items():
        finding, source = cell.split("_")
        out += [FilmFile(Path(f"{cell}{i}"), f"{cell}{i}", "train", Finding(finding), source, None) for i in range(count)]
    return out


SKEWED = films(Normal_a=80, Normal_b=20, Pneumonia_a=30, Tuberculosis_b=10)


def share(weights, finding, source=None):
    return sum(
        w for w, f in zip(weights, SKEWED, strict=True) if f.finding == finding and (source is None or f.source == source)
    )


def test_without_balance_every_film_is_equally_likely():
    np.testing.assert_allclose(film_weights(SKEWED, DataConfig(balance="none")), 1 / 140)


def test_class_balance_draws_each_class_equally_often():
    weights = film_weights(SKEWED, DataConfig(balance="class"))
    assert [share(weights, finding) for finding in FINDINGS] == pytest.approx([1 / 3] * 3)


@pytest.mark.parametrize(("flattening", "expected"), [(1.0, 0.5), (0.0, 0.8), (0.5, 80**0.5 / (80**0.5 + 20**0.5))])
def test_source_flattening_moves_a_sources_share_from_natural_to_equal(flattening, expected):
    weights = film_weights(SKEWED, DataConfig(balance="class_source", source_flattening=flattening))
    assert [share(weights, finding) for finding in FINDINGS] == pytest.approx([1 / 3] * 3)
    assert share(weights, Finding.NORMAL, "a") * 3 == pytest.approx(expected)


def test_class_weights_follow_the_reports_formula_and_are_one_when_sampling_balances():
    plain = class_weights(SKEWED, DataConfig(balance="none"))
    torch.testing.assert_close(plain, torch.tensor([140 / (3 * 100), 140 / (3 * 30), 140 / (3 * 10)]))
    torch.testing.assert_close(class_weights(SKEWED, DataConfig(balance="class_source")), torch.ones(3))


def test_epoch_order_is_a_permutation_that_depends_on_seed_and_epoch_only():
    weights = film_weights(SKEWED, DataConfig())
    first = epoch_order(weights, balanced=False, seed=1, epoch=1)
    assert sorted(first) == list(range(140))
    assert (first == epoch_order(weights, balanced=False, seed=1, epoch=1)).all()
    assert (first != epoch_order(weights, balanced=False, seed=1, epoch=2)).any()


def test_processes_share_an_epoch_evenly_without_overlap():
    order = np.arange(11)
    shares = [own_share(order, Processes(rank, 3)) for rank in range(3)]
    assert [len(part) for part in shares] == [3, 3, 3]
    assert len(set(np.concatenate(shares))) == 9


def test_balancing_sources_that_no_manifest_names_is_refused():
    nameless = [replace(film, source=UNKNOWN_SOURCE) for film in SKEWED]
    with pytest.raises(ConfigError, match=r'"class_source".*manifest\.csv.*column source.*data\.balance = "class"'):
        film_weights(nameless, DataConfig(balance="class_source"))
