"""One bundle against another on the same films: the difference of their metrics, and whether it could be chance.

Differences are paired: both bundles are measured on the same bootstrap samples, so that films that are hard for both do not
widen the interval.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from training.evaluation.evidence import Evidence, NotMeasured
from training.evaluation.judging.films import JudgedSplit
from training.evaluation.measures.bootstrap import Bootstrap, MetricPath, Statistics, plain_values, without_intervals
from training.evaluation.measures.confusion import Floats
from training.evaluation.measures.metrics import Judgements, film_statistics
from training.evaluation.measures.probes import unseen_source_statistics
from training.evaluation.part import Measured, Part
from training.evaluation.report.provenance import bundle_identity
from training.evaluation.report.tables import HEADLINE_LABELS, Values, number
from training.tables import UNDEFINED, markdown_table

# What is compared beside the headline metrics.
_COMPARED = {"per_class": ("recall", "auc"), "per_source": ("accuracy",)}


def paired_values(ours: Judgements, theirs: Judgements, bootstrap: Bootstrap) -> dict[str, Any]:
    """Metrics of `theirs`; `ours` minus `theirs` with paired 95 % intervals; and how many films only one of them gets right.

    ours, theirs: judgements of the same films in the same order. `became_right` counts the films that only `ours` gets right.
    """
    ours_right, theirs_right = (each.predicted == each.labels for each in (ours, theirs))
    our_statistics, their_statistics = (_restricted(film_statistics(each), _is_compared) for each in (ours, theirs))
    return {
        "films": len(ours.labels),
        "became_right": int(np.sum(ours_right & ~theirs_right)),
        "became_wrong": int(np.sum(~ours_right & theirs_right)),
        **_differences(our_statistics, their_statistics, ours.groups, bootstrap),
    }


def _differences(ours: Statistics, theirs: Statistics, groups: Sequence[str], bootstrap: Bootstrap) -> dict[str, Any]:
    def difference(weights: Floats) -> dict[MetricPath, Floats]:
        their_values = theirs(weights)
        return {path: value - their_values[path] for path, value in ours(weights).items()}

    return {"theirs": plain_values(theirs, len(groups)), "difference": bootstrap.measure(difference, groups, lowest=-1.0)}


def _restricted(statistics: Statistics, wanted: Callable[[MetricPath], bool]) -> Statistics:
    return lambda weights: {path: value for path, value in statistics(weights).items() if wanted(path)}


def _is_compared(path: MetricPath) -> bool:
    return path[0] == "headline" or path[-1] in _COMPARED.get(path[0], ())


def _is_recall_of_probes(path: MetricPath) -> bool:
    return path == ("mean_recall",) or (path[0] == "per_source" and path[2] == "recall")


def _measure(evidence: Evidence) -> Measured:
    other = evidence.against
    if other is None:
        raise NotMeasured("no other bundle was named (--against)")
    ours, theirs = _films_of_both(evidence.judged(), other.judged())
    return {
        "bundle": bundle_identity(other.bundle.manifest),
        **paired_values(ours.judgements(), theirs.judgements(), evidence.bootstrap),
        "unseen_sources": _unseen_sources(evidence, other),
    }


def _unseen_sources(evidence: Evidence, other: Evidence) -> dict[str, Any] | None:
    """Recall of probes on the embeddings in sources that they have not seen; None if the data cannot show it."""
    if not (evidence.holds("train") and other.holds("train")):
        return None
    fitted = _films_of_both(evidence.judged("train"), other.judged("train"))
    judged = _films_of_both(evidence.judged(), other.judged())
    ours, theirs = (
        unseen_source_statistics(basis.features(), films.features()) for basis, films in zip(fitted, judged, strict=True)
    )
    if ours is None or theirs is None:
        return None
    ours, theirs = (_restricted(each, _is_recall_of_probes) for each in (ours, theirs))
    return _differences(ours, theirs, judged[0].judgements().groups, evidence.bootstrap)


def _films_of_both(ours: JudgedSplit, theirs: JudgedSplit) -> tuple[JudgedSplit, JudgedSplit]:
    """The films that neither bundle refused."""
    shared = {each.film.relative for each in ours.judged} & {each.film.relative for each in theirs.judged}
    return ours.only(shared), theirs.only(shared)


def _paragraphs(values: Values) -> list[str]:
    other = values["bundle"]
    paragraphs = [
        f"This bundle beside {other['name']} {other['version']}, on the {values['films']} films that both judge. The gain is "
        "this bundle minus the other, with its paired interval; if the interval holds 0, the gain may be chance. Of ECE, less "
        "is better.",
        _table(values),
        f"{values['became_right']} films became right and {values['became_wrong']} wrong.",
    ]
    if values["unseen_sources"] is not None:
        paragraphs += [
            "Recall of linear probes on the embeddings, in sources that the probe has not seen (see the shortcut audit):",
            _unseen_source_table(values["unseen_sources"]),
        ]
    return paragraphs


def _table(values: Values) -> str:
    theirs, gained = values["theirs"], values["difference"]
    rows = [_row(label, theirs["headline"], gained["headline"], name) for name, label in HEADLINE_LABELS.items()]
    for finding, each in gained["per_class"].items():
        for name, label in (("recall", "recall"), ("auc", "AUC")):
            rows.append(_row(f"{finding}: {label}", theirs["per_class"][finding], each, name))
    for source, each in gained["per_source"].items():
        rows.append(_row(f"{source}: accuracy", theirs["per_source"][source], each, "accuracy"))
    return markdown_table(("metric", "the other", "this", "gain (95 % interval)"), rows)


def _unseen_source_table(values: Values) -> str:
    theirs, gained = values["theirs"], values["difference"]
    rows = [_row("mean", theirs, gained, "mean_recall")]
    for source, each in gained["per_source"].items():
        rows += [
            _row(f"{source}: {name}", theirs["per_source"][source]["recall"], each["recall"], name)
            for name in without_intervals(each["recall"])
        ]
    return markdown_table(("recall", "the other", "this", "gain (95 % interval)"), rows)


def _row(label: str, theirs: Values, gained: Values, name: str) -> tuple[str, ...]:
    if gained.get(name) is None:
        return (label, number(theirs.get(name)), UNDEFINED, UNDEFINED)
    low, high = gained["interval_95"][name]
    gain = f"{gained[name]:+.3f} ({low:+.3f} to {high:+.3f})"
    return (label, number(theirs[name]), number(theirs[name] + gained[name]), gain)


PART = Part("comparison", "Against another bundle", _measure, _paragraphs)
