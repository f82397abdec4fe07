"""Paired comparison of two bundles: the difference, its interval, and what a bundle compared with itself gives."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from service.commands.cxr import main
from service.model.findings import FINDINGS
from tests.support.training.phantom_evidence import phantom_evidence
from training.evaluation.measures.bootstrap import Bootstrap
from training.evaluation.measures.metrics import Judgements
from training.evaluation.parts.comparison import PART, _unseen_sources, paired_values


def judgements(labels, called, confidence=0.8) -> Judgements:
    probabilities = np.full((len(labels), 3), (1 - confidence) / 2)
    probabilities[np.arange(len(labels)), called] = confidence
    n = len(labels)
    return Judgements(np.asarray(labels), probabilities, ("one",) * n, tuple(map(str, range(n))))


@pytest.fixture
def labels() -> np.ndarray:
    return np.arange(300) % 3


def wrong_on(labels: np.ndarray, films: slice) -> np.ndarray:
    called = labels.copy()
    called[films] = (called[films] + 1) % 3
    return called


def test_the_difference_is_the_films_won_less_those_lost(labels):
    ours, theirs = judgements(labels, wrong_on(labels, slice(0, 6))), judgements(labels, wrong_on(labels, slice(3, 33)))
    values = paired_values(ours, theirs, Bootstrap(400, 0))
    assert (values["became_right"], values["became_wrong"]) == (27, 3)
    assert values["difference"]["headline"]["accuracy"] == pytest.approx(24 / 300)
    assert values["theirs"]["headline"]["accuracy"] == pytest.approx(0.9)
    low, high = values["difference"]["headline"]["interval_95"]["accuracy"]
    # Variance of the mean of +1 (27 films), -1 (3 films) and 0.
    spread = 1.96 * np.sqrt((30 / 300 - (24 / 300) ** 2) / 300)
    assert (low, high) == pytest.approx((0.08 - spread, 0.08 + spread), abs=0.01)


def test_a_loss_has_an_interval_below_zero(labels):
    ours, theirs = judgements(labels, wrong_on(labels, slice(0, 60))), judgements(labels, labels)
    values = paired_values(ours, theirs, Bootstrap(200, 0))
    low, high = values["difference"]["headline"]["interval_95"]["accuracy"]
    assert low < -0.2 < high < 0


def test_what_is_hard_for_both_does_not_widen_the_interval(labels):
    both = judgements(labels, wrong_on(labels, slice(0, 120)))
    values = paired_values(both, both, Bootstrap(100, 0))
    assert values["difference"]["headline"]["interval_95"]["accuracy"] == [0, 0]


@pytest.mark.slow
def test_a_bundle_gains_nothing_over_itself(bundle_path, export_data, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(bundle_path, other)
    out = tmp_path / "out"
    options = ["--out", str(out), "--resamples", "20", "--parts", "comparison", "--against", str(other)]
    assert main(["evaluate", str(bundle_path), "--data", str(export_data), *options]) == 0
    values = json.loads((out / "metrics.json").read_text())["comparison"]
    assert values["difference"]["headline"]["macro_auc"] == 0
    assert values["unseen_sources"]["difference"]["mean_recall"] == 0
    assert values["became_right"] == values["became_wrong"] == 0
    report = (out / "report.md").read_text()
    assert "0 films became right and 0 wrong." in report
    assert "+0.000 (+0.000 to +0.000)" in report


def test_each_bundle_judges_for_itself(bundle, export_data, tmp_path):
    evidence = phantom_evidence(bundle, export_data, tmp_path)
    evidence.judged()
    other = replace(evidence)
    assert other.judged() is not evidence.judged()


def test_a_bundle_from_which_all_training_films_were_held_out_has_no_probes(bundle, export_data, tmp_path):
    evidence = phantom_evidence(bundle, export_data, tmp_path)
    evidence.films = tuple(film for film in evidence.films if film.source == "source0")
    config = {"data": {"held_out_source": "source0"}}
    other = replace(evidence, bundle=replace(bundle, manifest=bundle.manifest.model_copy(update={"training_config": config})))
    assert _unseen_sources(evidence, other) is None


def test_classes_and_sources_have_rows_of_their_own(labels):
    ours, theirs = judgements(labels, labels), judgements(labels, wrong_on(labels, slice(0, 30)))
    values = {
        **paired_values(ours, theirs, Bootstrap(20, 0)),
        "bundle": {"name": "chest-xray", "version": "1.0.0"},
        "unseen_sources": None,
    }
    text = PART.describe(json.loads(json.dumps(values)))
    for finding in FINDINGS:
        assert f"| {finding.value}: recall " in text
    assert "| one: accuracy " in text
    assert "beside chest-xray 1.0.0" in text
