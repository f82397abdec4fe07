"""Linear probes on constructed signals."""

import numpy as np
import pytest

from service.model.findings import FINDINGS
from training.evaluation.measures.bootstrap import Bootstrap
from training.evaluation.measures.probes import Features, leave_one_source_out, source_within_class

SOURCES = ("clinic", "hospital", "ward")


def embedded(seed: int, of_class: float, of_source: float, films: int = 20) -> Features:
    """`films` of each class of each source: noise, and signals of class and of source, each in dimensions of its own."""
    rng = np.random.default_rng(seed)
    labels = np.tile(np.repeat(np.arange(3), films), len(SOURCES))
    source = np.repeat(np.arange(len(SOURCES)), 3 * films)
    signal = np.hstack([of_class * np.eye(3)[labels], of_source * np.eye(3)[source], np.zeros((len(labels), 4))])
    values = (signal + rng.normal(0, 1, signal.shape)).astype(np.float32)
    return Features(values, labels, np.array(SOURCES)[source], tuple(map(str, range(len(labels)))))


def only(films: Features, kept: np.ndarray) -> Features:
    return Features(films.values[kept], films.labels[kept], films.sources[kept], tuple(np.array(films.groups)[kept]))


def test_a_class_signal_holds_in_sources_left_out():
    measured = leave_one_source_out(embedded(0, 12.0, 0.0), embedded(1, 12.0, 0.0), Bootstrap(40, 0))
    assert measured["mean_recall"] == measured["mean_recall_source_known"] == 1.0
    assert measured["per_source"]["ward"]["support"] == {finding.value: 20 for finding in FINDINGS}


def signs_of_their_own(seed: int) -> Features:
    """The class is written in other dimensions in each source, so that what one source teaches is worth nothing in another."""
    films = embedded(seed, of_class=0.0, of_source=0.0)
    source = np.array([SOURCES.index(name) for name in films.sources])
    signs = 12.0 * np.eye(3 * len(SOURCES))[3 * source + films.labels]
    return Features(np.hstack([films.values, signs]).astype(np.float32), films.labels, films.sources, films.groups)


def test_signs_that_only_one_source_has_are_worth_nothing_in_a_source_left_out():
    measured = leave_one_source_out(signs_of_their_own(0), signs_of_their_own(1), Bootstrap(40, 0))
    assert measured["mean_recall_source_known"] == 1.0
    assert measured["mean_recall"] == pytest.approx(1 / 3, abs=0.1)
    low, high = measured["interval_95"]["mean_recall"]
    assert low <= measured["mean_recall"] <= high


def test_a_class_that_no_other_source_holds_is_left_out():
    films = [only(each, (each.labels != 2) | (each.sources == "ward")) for each in (embedded(0, 12, 0), embedded(1, 12, 0))]
    measured = leave_one_source_out(*films, Bootstrap(20, 0))
    assert set(measured["per_source"]["ward"]["support"]) == {"Normal", "Pneumonia"}
    assert set(measured["per_source"]["clinic"]["support"]) == {"Normal", "Pneumonia"}


def test_a_probe_that_knows_the_source_chooses_among_the_same_classes():
    """Without a trace of the source and with a class of one source only, knowing the source is worth nothing."""
    rng = np.random.default_rng(0)

    def films(count: int) -> Features:
        labels, sources = np.tile([0, 1, 0, 1, 2], count), np.tile(["clinic", "clinic", "ward", "ward", "ward"], count)
        embeddings = (2.0 * np.eye(6)[labels] + rng.normal(size=(len(labels), 6))).astype(np.float32)
        return Features(embeddings, labels, sources, tuple(map(str, range(len(labels)))))

    measured = leave_one_source_out(films(400), films(400), Bootstrap(40, 0))
    low, high = measured["interval_95"]["mean_loss"]
    assert low < 0.02
    assert -0.02 < measured["mean_loss"] < 0.02
    assert low <= measured["mean_loss"] <= high


def test_films_of_one_source_leave_nothing_out():
    films = embedded(0, 12.0, 0.0)
    one = only(films, films.sources == "ward")
    assert leave_one_source_out(one, one, Bootstrap(20, 0)) is None


def test_the_source_is_found_where_it_is_and_not_where_it_is_not():
    strong = source_within_class(embedded(0, 0.0, 12.0), embedded(1, 0.0, 12.0))
    weak = source_within_class(embedded(0, 12.0, 0.0), embedded(1, 12.0, 0.0))
    for finding in FINDINGS:
        assert strong[finding.value]["balanced_accuracy"] == 1.0
        assert strong[finding.value]["chance"] == pytest.approx(1 / 3, abs=1e-6)
        assert weak[finding.value]["balanced_accuracy"] == pytest.approx(1 / 3, abs=0.2)


def test_a_class_of_one_source_has_no_source_to_tell():
    """Normal comes from the clinic, Pneumonia from the hospital, from the ward both."""
    cells = [("clinic", 0), ("hospital", 1), ("ward", 0), ("ward", 1)]
    films = [embedded(seed, of_class=0.0, of_source=8.0) for seed in (0, 1)]
    measured = source_within_class(*(only(each, sum(each.of(*cell) for cell in cells) > 0) for each in films))
    assert measured["Normal"]["sources"] == ["clinic", "ward"]
    assert "Tuberculosis" not in measured
