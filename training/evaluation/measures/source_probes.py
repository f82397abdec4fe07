"""Linear probes on embeddings: does what the model knows of a class hold in a source that the probe has not seen?

Embeddings, labels and sources in, figures out; reads no film and runs no graph.
"""

from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from tqdm import tqdm

from service.model.findings import FINDINGS, Finding
from training.evaluation.judging.films import JudgedSplit
from training.evaluation.measures.bootstrap import FigurePath, Statistics
from training.evaluation.measures.confusion import Floats, Labels, mean_of_defined, ratio
from training.evaluation.measures.intervals import RESAMPLES, interval_figures, plain, without_intervals
from training.evaluation.measures.within_source import pair_name, source_pairs, within_source_auc

# Inverse strength of the L2 penalty on standardised embeddings; fixed, so that bundles are compared by one and the same probe.
PROBE_C = 0.01

_ITERATIONS = 1000


@dataclass(frozen=True)
class Embedded:
    """Films as the backbone sees them. embeddings: float32 [N, E]; labels: int [N]; sources, groups: [N]."""

    embeddings: npt.NDArray[np.float32]
    labels: Labels
    sources: npt.NDArray[np.str_]
    groups: tuple[str, ...]

    @classmethod
    def of(cls, split: JudgedSplit) -> "Embedded":
        """The films of a judged split, in its order."""
        judgements = split.judgements()
        embeddings = np.stack([each.embedding for each in split.judged])
        return cls(embeddings, judgements.labels, np.array(judgements.sources), judgements.groups)


def linear_probe() -> Pipeline:
    """Standardise, then logistic regression (multinomial beyond two classes), every class of equal weight."""
    return make_pipeline(StandardScaler(), LogisticRegression(C=PROBE_C, class_weight="balanced", max_iter=_ITERATIONS))


def leave_one_source_out(fitted: Embedded, judged: Embedded, *, seed: int, resamples: int = RESAMPLES) -> dict[str, Any] | None:
    """Recall of each class of each source by a probe fitted on all other sources; None without a source to leave out.

    fitted: films that probes are fitted on; judged: films that they are judged on. Beside each recall stands that of a probe
    fitted on every source, `recall_source_known`: what is lost between the two was knowledge of the source, not of the disease.
    Both choose among the classes that the other sources hold, and the others are left out. `mean_loss` is known less unseen;
    fewer films to fit on cost something too. `auc` tells two classes of the source apart, whatever the threshold.
    """
    statistics = unseen_source_statistics(fitted, judged)
    if statistics is None:
        return None
    measured = interval_figures(statistics, judged.groups, seed=seed, resamples=resamples)

    def loss(weights: Floats) -> dict[FigurePath, Floats]:
        figures = statistics(weights)
        return {("mean_loss",): figures["mean_recall_source_known",] - figures["mean_recall",]}

    interval_figures(loss, judged.groups, seed=seed, resamples=resamples, into=measured, lowest=-1.0)
    for source, each in measured["per_source"].items():
        names = without_intervals(each["recall"])
        each["support"] = {name: int(_cell(judged, source, FINDINGS.index(Finding(name))).sum()) for name in names}
    return {"fitted_films": len(fitted.labels), "probe_c": PROBE_C, **measured}


def unseen_source_statistics(fitted: Embedded, judged: Embedded) -> Statistics | None:
    """The figures of `leave_one_source_out` as a function of how often each film is counted."""
    known, unseen = _probabilities_both_ways(fitted, judged)
    cells = [
        (source, index)
        for source, index in product(sorted(set(judged.sources.tolist())), range(len(FINDINGS)))
        if np.any(_cell(judged, source, index) & ~np.isnan(unseen[:, index]))
    ]
    if not cells:
        return None
    kept = np.flatnonzero(~np.isnan(unseen).all(axis=1))
    comparable = np.where(np.isnan(unseen), np.nan, known)
    right = {"recall": _right(unseen, judged.labels), "recall_source_known": _right(comparable, judged.labels)}
    # A class that the other sources lack has no probability; the pairs that it is part of are left out below.
    likely = np.nan_to_num(unseen[kept])
    held = set(cells)
    pairs = {
        (source, pair_name(negative, positive))
        for source, negative, positive in source_pairs(judged.labels[kept], judged.sources[kept].tolist())
        if {(source, negative), (source, positive)} <= held
    }

    def statistics(weights: Floats) -> dict[FigurePath, Floats]:
        figures: dict[FigurePath, Floats] = {}
        for name, hits in right.items():
            recalls = []
            for source, index in cells:
                films = _cell(judged, source, index)
                recalls.append(ratio(weights[:, films] @ hits[films], weights[:, films].sum(axis=1)))
                figures["per_source", source, name, FINDINGS[index].value] = recalls[-1]
            figures[(f"mean_{name}",)] = mean_of_defined(np.stack(recalls, axis=-1))
        areas = within_source_auc(judged.labels[kept], likely, judged.sources[kept].tolist(), weights[:, kept])
        for source, pair in sorted(pairs):
            figures["per_source", source, "auc", pair] = areas[source, pair]
        return figures

    return statistics


def source_within_class(fitted: Embedded, judged: Embedded) -> dict[str, Any]:
    """Balanced accuracy of telling the source from the embedding among films of one class, beside chance, by class.

    Only sources with films of the class on both sides take part; a class of fewer than two is left out.
    """
    measured: dict[str, Any] = {}
    for index, finding in enumerate(tqdm(FINDINGS, desc="Probing for the source", unit="class", disable=None)):
        ours, theirs = fitted.labels == index, judged.labels == index
        shared = sorted(set(fitted.sources[ours].tolist()) & set(judged.sources[theirs].tolist()))
        if len(shared) < 2:
            continue
        ours, theirs = ours & np.isin(fitted.sources, shared), theirs & np.isin(judged.sources, shared)
        probe = linear_probe().fit(fitted.embeddings[ours], fitted.sources[ours])
        called = probe.predict(judged.embeddings[theirs])
        measured[finding.value] = {
            "sources": shared,
            "films": int(theirs.sum()),
            "balanced_accuracy": plain(balanced_accuracy_score(judged.sources[theirs], called)),
            "chance": plain(1 / len(shared)),
        }
    return measured


def _probabilities_both_ways(fitted: Embedded, judged: Embedded) -> tuple[Floats, Floats]:
    """(by a probe that knows every source, by one that knows all but the film's own), each [N, C]; NaN where there is none."""
    classes = len(FINDINGS)
    known, unseen = np.full((2, len(judged.labels), classes), np.nan)
    everything = np.ones(len(fitted.labels), dtype=bool)
    sources = sorted(set(judged.sources.tolist()))
    runs = [(known, everything, np.ones(len(judged.labels), dtype=bool))]
    runs += [(unseen, fitted.sources != source, judged.sources == source) for source in sources]
    for target, basis, films in tqdm(runs, desc="Leaving sources out", unit="probe", disable=None):
        if len(set(fitted.labels[basis].tolist())) < 2:
            continue
        probe = linear_probe().fit(fitted.embeddings[basis], fitted.labels[basis])
        target[np.ix_(films, probe.classes_)] = probe.predict_proba(judged.embeddings[films])
    return known, unseen


def _cell(films: Embedded, source: str, index: int) -> npt.NDArray[np.bool_]:
    return (films.sources == source) & (films.labels == index)


def _right(probabilities: Floats, labels: Labels) -> Floats:
    """1 where the most probable class is the true one, else 0; [N]."""
    return (np.nan_to_num(probabilities, nan=-1.0).argmax(axis=1) == labels).astype(float)
