"""Linear probes on embeddings: how well they predict the class in a source left out, and the source within a class.

Arrays in, numbers out: reads no film and runs no graph.
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

# Inverse strength of the L2 penalty on standardised embeddings; fixed, so that all bundles are compared by the same probe.
PROBE_C = 0.01

_MAX_ITERATIONS = 1000


@dataclass(frozen=True)
class Features:
    """Embeddings of films, with what a probe predicts from them."""

    values: NetworkValues  # embeddings, float32 [N, D]
    labels: Labels  # indices into FINDINGS, int [N]
    sources: npt.NDArray[np.str_]  # [N]
    groups: tuple[str, ...]  # patient or group of each film, [N]

    def of(self, source: str, index: int | None = None) -> FilmMask:
        """Which films come from `source` and, if `index` is given, are of that class; bool [N]."""
        return (self.sources == source) & (True if index is None else self.labels == index)


def leave_one_source_out(fitted: Features, judged: Features, bootstrap: Bootstrap) -> dict[str, Any] | None:
    """Recall of each class of each source by a probe fitted on all other sources; None if no recall can be measured so.

    fitted, judged: the films that probes are fitted on, and those that they are judged on. `recall` is that of the probe
    fitted without the source, `recall_source_known` that of a probe fitted on every source. Both choose among the classes that
    the other sources hold. The difference is knowledge of the source instead of the disease, except for the part that comes
    from fewer films to fit on. `mean_loss` is its mean over sources and classes.
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
    """The recalls of `leave_one_source_out` and their means as a function of the film weights, or None as there."""
    sources = sorted(set(judged.sources.tolist()))
    known = _probabilities(fitted.values, fitted.labels, judged.values)
    unseen = np.empty_like(known)
    for source in tqdm(sources, desc="Leaving sources out", unit="probe", disable=None):
        films, others = judged.of(source), ~fitted.of(source)
        unseen[films] = _probabilities(fitted.values[others], fitted.labels[others], judged.values[films])
    # A class that no other source holds has no recall in the source left out.
    cells = [
        (source, index)
        for source, index in product(sources, range(len(FINDINGS)))
        if np.any(judged.of(source, index) & ~np.isnan(unseen[:, index]))
    ]
    if not cells:
        return None
    known_of_same_classes = np.where(np.isnan(unseen), np.nan, known)
    correct = {
        "recall": _correct(unseen, judged.labels),
        "recall_source_known": _correct(known_of_same_classes, judged.labels),
    }

    def statistics(weights: Floats) -> dict[MetricPath, Floats]:
        values: dict[MetricPath, Floats] = {}
        for name, is_correct in correct.items():
            recalls = []
            for source, index in cells:
                films = judged.of(source, index)
                recalls.append(ratio(weights[:, films] @ is_correct[films], weights[:, films].sum(axis=1)))
                values["per_source", source, name, FINDINGS[index].value] = recalls[-1]
            values[(f"mean_{name}",)] = mean_of_defined(np.stack(recalls, axis=-1))
        return values

    return statistics


def source_within_class(fitted: Features, judged: Features) -> dict[str, Any]:
    """By class: balanced accuracy of a probe that predicts the source from the embedding, beside chance.

    Sources take part that have films of the class among both `fitted` and `judged`. A class with fewer than two such sources
    is left out.
    """
    measured: dict[str, Any] = {}
    for index, finding in enumerate(tqdm(FINDINGS, desc="Probing for the source", unit="class", disable=None)):
        to_fit, to_judge = fitted.labels == index, judged.labels == index
        shared = sorted(set(fitted.sources[to_fit].tolist()) & set(judged.sources[to_judge].tolist()))
        if len(shared) < 2:
            continue
        to_fit, to_judge = to_fit & np.isin(fitted.sources, shared), to_judge & np.isin(judged.sources, shared)
        probe = _linear_probe().fit(fitted.values[to_fit], fitted.sources[to_fit])
        predicted = probe.predict(judged.values[to_judge])
        measured[finding.value] = {
            "sources": shared,
            "films": int(to_judge.sum()),
            "balanced_accuracy": plain(balanced_accuracy_score(judged.sources[to_judge], predicted)),
            "chance": plain(1 / len(shared)),
        }
    return measured


def _linear_probe() -> Pipeline:
    """Logistic regression on standardised embeddings, with equal total weight of each class."""
    return make_pipeline(StandardScaler(), LogisticRegression(C=PROBE_C, class_weight="balanced", max_iter=_MAX_ITERATIONS))


def _probabilities(fitted: NetworkValues, labels: Labels, judged: NetworkValues) -> Floats:
    """Fit a probe, and predict the judged films: float [N, C], NaN for classes without fitted films.

    All NaN if the fitted films are of fewer than two classes. labels: of the fitted films.
    """
    probabilities = np.full((len(judged), len(FINDINGS)), np.nan)
    if len(set(labels.tolist())) > 1:
        probe = _linear_probe().fit(fitted, labels)
        probabilities[:, probe.classes_] = probe.predict_proba(judged)
    return probabilities


def _correct(probabilities: Floats, labels: Labels) -> Floats:
    """1 where the most probable class is the true one, else 0; float [N]."""
    return (np.nan_to_num(probabilities, nan=-1.0).argmax(axis=1) == labels).astype(float)
