"""Heads trained on features."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from service.model.findings import FINDINGS
from training.config_file import config_from_dict
from training.data.folder import FilmFile
from training.search.frozen_features import Features
from training.search.head_fit import fit_head

pytestmark = pytest.mark.usefixtures("one_torch_thread")


def film_file(relative, finding, source):
    return FilmFile(Path(), relative, "train", finding, source, None)


def test_a_head_learns_separable_features_and_repeats_with_the_seed():
    rng = torch.Generator().manual_seed(0)
    labels = torch.arange(60) % 3
    pooled = torch.randn(1, 60, 8, generator=rng)
    pooled[0, torch.arange(60), labels] += 6.0
    features = Features(pooled, torch.nn.functional.one_hot(labels, 3).float().unsqueeze(0))
    films = [film_file(str(i), FINDINGS[label], "s") for i, label in enumerate(labels.tolist())]
    document = {"model": {"hidden": 16}, "optimiser": {"batch_size": 10, "learning_rate": 1e-2}}
    config = config_from_dict(document | {"schedule": {"epochs": 8, "warmup_epochs": 1}})
    metrics = list(fit_head(features, films, features, config))
    assert len(metrics) == 8 and metrics[-1].accuracy == 1.0 and metrics[-1].auc == 1.0
    assert metrics[-1].loss < metrics[0].loss
    assert list(fit_head(features, films, features, config)) == metrics
    other = replace(config, run=replace(config.run, seed=1))
    assert list(fit_head(features, films, features, other)) != metrics


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
