import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from training.errors import DatasetError
from training.evaluation.measures.bootstrap import Bootstrap
from training.leave_one_out.answers import METRICS, Answers
from training.leave_one_out.report import measure_unseen, unseen_table


def _answers(seed: int, films: int = 60, classes: tuple[int, ...] = (0, 2)) -> Answers:
    """The labels, groups and names of one seed's films are those of every other seed."""
    labels = np.array([classes[index % len(classes)] for index in range(films)])
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 1, (films, 3)) + 1.5 * np.eye(3)[labels]
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    groups = np.array([f"patient{index // 2}" for index in range(films)])
    sets = probabilities > 0.2
    return Answers(labels, probabilities, sets, probabilities.max(axis=1) < 0.6, groups, groups)


def test_the_metrics_of_a_run_are_those_of_its_films() -> None:
    answers = _answers(1)
    values = {name: float(value[0]) for name, value in answers.metrics(np.ones((1, 60))).items()}
    assert set(values) == set(METRICS)
    likely = np.log(answers.probabilities)
    wrong = answers.probabilities.argmax(axis=1) != answers.labels
    assert values["auc"] == pytest.approx(roc_auc_score(answers.labels == 2, likely[:, 2] - likely[:, 0]))
    assert values["accuracy"] == pytest.approx(1 - wrong.mean())
    assert values["coverage"] == pytest.approx(answers.sets[np.arange(60), answers.labels].mean())
    assert values["flagged"] == pytest.approx(answers.flagged.mean())
    assert values["errors_flagged"] == pytest.approx(answers.flagged[wrong].mean())


def test_a_source_counts_as_the_mean_of_its_runs_and_the_mean_counts_each_source_once() -> None:
    answers = {"small": [_answers(1, 20), _answers(2, 20)], "large": [_answers(3, 400)]}
    measured = measure_unseen(answers, Bootstrap(resamples=20, seed=0))
    alone = [np.mean([run.metrics(np.ones((1, len(run.labels))))["auc"][0] for run in runs]) for runs in answers.values()]
    for source, value in zip(answers, alone, strict=True):
        assert measured["sources"][source]["auc"] == pytest.approx(value, abs=1e-6)
    assert measured["mean"]["auc"] == pytest.approx(np.mean(alone), abs=1e-6)
    low, high = measured["mean"]["interval_95"]["auc"]
    assert low < measured["mean"]["auc"] < high
    assert [row.split("|")[1].strip() for row in unseen_table(measured).splitlines()[2:]] == ["small", "large", "mean"]


def test_a_source_with_three_classes_averages_its_diseases_against_normal() -> None:
    answers = _answers(4, classes=(0, 1, 2))
    likely, labels = np.log(answers.probabilities), answers.labels
    areas = []
    for disease in (1, 2):
        pair = np.isin(labels, (0, disease))
        areas.append(roc_auc_score(labels[pair] == disease, (likely[:, disease] - likely[:, 0])[pair]))
    assert answers.metrics(np.ones((1, 60)))["auc"][0] == pytest.approx(np.mean(areas))


def test_answers_survive_the_disk_and_a_damaged_file_is_named(tmp_path) -> None:
    answers, path = _answers(5), tmp_path / "answers.npz"
    answers.write(path)
    for name in ("labels", "probabilities", "sets", "flagged", "groups", "names"):
        assert np.array_equal(getattr(Answers.read(path), name), getattr(answers, name))
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(DatasetError, match=r"answers\.npz does not hold the answers"):
        Answers.read(path)
