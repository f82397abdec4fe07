import pytest

from service.model.findings import FINDINGS
from training.retraining.verdict import judge_challenger

FILMS = {finding.value: 100 for finding in FINDINGS}


def metric(value, low, high, name):
    return {name: value, "interval_95": {name: [low, high]}}


def differences(overall, recalls=((0.0, -0.1, 0.1),) * 3):
    per_class = {
        finding.value: {
            "recall": recall[0],
            "auc": 0.0,
            "interval_95": {"recall": list(recall[1:]), "auc": [-0.1, 0.1]},
        }
        for finding, recall in zip(FINDINGS, recalls, strict=True)
    }
    return {"headline": metric(*overall, "macro_f1"), "per_class": per_class}


def test_a_challenger_that_is_better_and_nowhere_worse_is_promoted():
    verdict = judge_challenger(differences((0.02, 0.003, 0.04)), FILMS)
    assert verdict.promote and "macro_f1 +0.020 (+0.003 to +0.040)" in str(verdict)


@pytest.mark.parametrize("overall", [(0.02, -0.001, 0.04), (0.0, 0.0, 0.0), (-0.1, -0.2, -0.05), (None, None, None)])
def test_a_gain_within_chance_is_not_enough(overall):
    assert not judge_challenger(differences(overall), FILMS).promote


def test_a_class_that_is_worse_beyond_chance_outweighs_a_gain():
    recalls = ((0.1, 0.05, 0.15), (0.0, -0.1, 0.1), (-0.05, -0.09, -0.01))
    verdict = judge_challenger(differences((0.02, 0.01, 0.04), recalls), FILMS)
    assert not verdict.promote
    assert "recall of Tuberculosis -0.050 (-0.090 to -0.010)" in str(verdict)


def test_a_single_film_that_changed_sides_decides_nothing():
    """One of 100 films became wrong: the centred interval ends a hundredth of a film below zero."""
    recalls = ((0.0, -0.1, 0.1), (0.0, -0.1, 0.1), (-0.01, -0.03, -0.0001))
    assert judge_challenger(differences((0.02, 0.01, 0.04), recalls), FILMS).promote
    assert not judge_challenger(differences((0.003, 0.0001, 0.01)), FILMS).promote


def test_a_class_without_metrics_is_not_worse():
    recalls = ((None, None, None), (0.0, -0.1, 0.1), (0.0, -0.1, 0.1))
    assert judge_challenger(differences((0.02, 0.01, 0.04), recalls), FILMS).promote
