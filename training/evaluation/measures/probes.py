"""Linear probes on embeddings: how well do they tell the class, in sources that they have not seen too?

Arrays in, values out; reads no film and runs no graph.
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

from service.film.arrays import NetworkValues
from service.model.findings import FINDINGS, Finding
from training.evaluation.measures.bootstrap import Bootstrap, MetricPath, Statistics, plain, without_intervals
from training.evaluation.measures.confusion import FilmMask, Floats, Labels, mean_of_defined, ratio

# Inverse strength of the L2 penalty on standardised embeddings; fixed, so that bundles are compared by one and the same probe.
PROBE_C = 0.01

_ITERATIONS = 1000


# float32 [N, D].


@dataclass(frozen=True)
class Features:
    """What probes see of films."""

    values: NetworkValues  # embeddings, one row a film
    labels: Labels  # indices into FINDINGS, int [N]
    sources: npt.NDArray[np.str_]  # [N]
    groups: tuple[str, ...]  # patient or group of each film, [N]

    def of(self, source: str, index: int | None = None) -> FilmMask:
        """Which films are of a source, and, if given, of a class; bool [N]."""
        return (self.sources == source) & (True if index is None else self.labels == index)


def leave_one_source_out(fitted: Features, judged: Features, bootstrap: Bootstrap) -> dict[str, Any] | None:
    """Recall of each class of each source by a probe fitted on all other sources; None without a source to leave out.

    fitted, judged: films that probes are fitted and judged on. Beside each recall stands that of a probe fitted on every
    source, `recall_source_known`: what is lost between the two was knowledge of the source, not of the disease. Both choose
    among the classes that the other sources hold; other classes are left out. `mean_loss` is the mean of what is lost, part of
    which comes from fewer films to fit on.
    """
    statistics = unseen_source_statistics(fitted, judged)
    if statistics is None:
        return None
    measured = bootstrap.measure(statistics, judged.groups)

    def loss(weights: Floats) -> dict[MetricPath, Floats]:
        values = statistics(weights)
        return {("mean_loss",): values["mean_recall_source_known",] - values["mean_recall",]}

    bootstrap.measure(loss, judged.groups, into=measured, lowest=-1.0)
    for source, each in measured["per_source"].items():
        names = without_intervals(each["recall"])
        each["support"] = {name: int(judged.of(source, FINDINGS.index(Finding(name))).sum()) for name in names}
    return {"fitted_films": len(fitted.labels), "probe_c": PROBE_C, **measured}


def unseen_source_statistics(fitted: Features, judged: Features) -> Statistics | None:
    """The values of `leave_one_source_out` as a function of how often each film is counted."""
    sources = sorted(set(judged.sources.tolist()))
    known = _probabilities(fitted.values, fitted.labels, judged.values)
    unseen = np.empty_like(known)
    for source in tqdm(sources, desc="Leaving sources out", unit="probe", disable=None):
        films, others = judged.of(source), ~fitted.of(source)
        unseen[films] = _probabilities(fitted.values[others], fitted.labels[others], judged.values[films])
    cells = [
        (source, index)
        for source, index in product(sources, range(len(FINDINGS)))
        if np.any(judged.of(source, index) & ~np.isnan(unseen[:, index]))
    ]
    if not cells:
        return None
    comparable = np.where(np.isnan(unseen), np.nan, known)
    right = {"recall": _right(unseen, judged.labels), "recall_source_known": _right(comparable, judged.labels)}

    def statistics(weights: Floats) -> dict[MetricPath, Floats]:
        values: dict[MetricPath, Floats] = {}
        for name, hits in right.items():
            recalls = []
            for source, index in cells:
                films = judged.of(source, index)
                recalls.append(ratio(weights[:, films] @ hits[films], weights[:, films].sum(axis=1)))
                values["per_source", source, name, FINDINGS[index].value] = recalls[-1]
            values[(f"mean_{name}",)] = mean_of_defined(np.stack(recalls, axis=-1))
        return values

    return statistics


def source_within_class(fitted: Features, judged: Features) -> dict[str, Any]:
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
        probe = _linear_probe().fit(fitted.values[ours], fitted.sources[ours])
        called = probe.predict(judged.values[theirs])
        measured[finding.value] = {
            "sources": shared,
            "films": int(theirs.sum()),
            "balanced_accuracy": plain(balanced_accuracy_score(judged.sources[theirs], called)),
            "chance": plain(1 / len(shared)),
        }
    return measured


def _linear_probe() -> Pipeline:
    """Standardise, then logistic regression (multinomial beyond two classes), every class of equal weight."""
    return make_pipeline(StandardScaler(), LogisticRegression(C=PROBE_C, class_weight="balanced", max_iter=_ITERATIONS))


def _probabilities(fitted: NetworkValues, labels: Labels, judged: NetworkValues) -> Floats:
    """[N, C] of the judged films, by a probe on the fitted ones; NaN for classes that it was not fitted on."""
    probabilities = np.full((len(judged), len(FINDINGS)), np.nan)
    if len(set(labels.tolist())) > 1:
        probe = _linear_probe().fit(fitted, labels)
        probabilities[:, probe.classes_] = probe.predict_proba(judged)
    return probabilities


def _right(probabilities: Floats, labels: Labels) -> Floats:
    """1 where the most probable class is the true one, else 0; [N]."""
    return (np.nan_to_num(probabilities, nan=-1.0).argmax(axis=1) == labels).astype(float)
