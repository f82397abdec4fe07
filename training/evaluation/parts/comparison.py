"""One bundle against another on the same films: what is gained, and whether that could be chance.

Differences are paired: both bundles' figures come from the same draws of patients, so that what makes a film hard for both
falls out of the interval. Two separate intervals that overlap say less.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from training.evaluation.judging.films import JudgedSplit
from training.evaluation.measures.bootstrap import FigurePath, Statistics
from training.evaluation.measures.confusion import Floats
from training.evaluation.measures.intervals import interval_figures, plain_figures
from training.evaluation.measures.metrics import Judgements, film_statistics
from training.evaluation.measures.source_probes import Embedded, unseen_source_statistics
from training.evaluation.part import Evidence, Measured, NotMeasured, Part, draw_nothing
from training.evaluation.report.provenance import bundle_identity
from training.evaluation.report.tables import Figures, comparison_table, unseen_source_table

# Of a class and of a source these; of the headline everything.
_OF_CLASS = ("recall", "auc")
_OF_SOURCE = ("accuracy",)


def paired_figures(ours: Judgements, theirs: Judgements, *, seed: int, resamples: int) -> dict[str, Any]:
    """Their figures, what ours exceed them by with its paired 95 % interval, and how many films changed sides.

    Both are judgements of the same films in the same order.
    """
    ours_right, theirs_right = (each.predicted == each.labels for each in (ours, theirs))
    return {
        "films": len(ours.labels),
        "became_right": int(np.sum(ours_right & ~theirs_right)),
        "became_wrong": int(np.sum(~ours_right & theirs_right)),
        **_differences(
            _restricted(film_statistics(ours), _of_films),
            _restricted(film_statistics(theirs), _of_films),
            ours.groups,
            seed=seed,
            resamples=resamples,
        ),
    }


def _differences(ours: Statistics, theirs: Statistics, groups: Sequence[str], *, seed: int, resamples: int) -> dict[str, Any]:
    def statistics(weights: Floats) -> dict[FigurePath, Floats]:
        subtracted = theirs(weights)
        return {path: value - subtracted[path] for path, value in ours(weights).items()}

    return {
        "theirs": plain_figures(theirs, len(groups)),
        "difference": interval_figures(statistics, groups, seed=seed, resamples=resamples, lowest=-1.0),
    }


def _restricted(statistics: Statistics, wanted: Callable[[FigurePath], bool]) -> Statistics:
    def some(weights: Floats) -> dict[FigurePath, Floats]:
        return {path: value for path, value in statistics(weights).items() if wanted(path)}

    return some


def _of_films(path: FigurePath) -> bool:
    wanted = {"per_class": _OF_CLASS, "per_source": _OF_SOURCE}
    return path[0] == "headline" or path[-1] in wanted.get(path[0], ())


def _of_probes(path: FigurePath) -> bool:
    return path == ("mean_recall",) or (path[0] == "per_source" and path[2] == "recall")


def _measure(evidence: Evidence) -> Measured:
    other = evidence.against
    if other is None:
        raise NotMeasured("no other bundle was named (--against)")
    ours, theirs = _films_of_both(evidence.judged(), other.judged())
    return {
        "bundle": bundle_identity(other.bundle.manifest),
        **paired_figures(ours.judgements(), theirs.judgements(), seed=evidence.seed, resamples=evidence.resamples),
        "unseen_sources": _unseen_sources(evidence, other),
    }


def _unseen_sources(evidence: Evidence, other: Evidence) -> dict[str, Any] | None:
    """What probes on the embeddings recall in sources that they have not seen; None if the data cannot show it."""
    if not evidence.holds("train"):
        return None
    fitted = _films_of_both(evidence.judged("train"), other.judged("train"))
    judged = _films_of_both(evidence.judged(), other.judged())
    ours, theirs = (
        unseen_source_statistics(Embedded.of(basis), Embedded.of(films)) for basis, films in zip(fitted, judged, strict=True)
    )
    if ours is None or theirs is None:
        return None
    return _differences(
        _restricted(ours, _of_probes),
        _restricted(theirs, _of_probes),
        judged[0].judgements().groups,
        seed=evidence.seed,
        resamples=evidence.resamples,
    )


def _films_of_both(ours: JudgedSplit, theirs: JudgedSplit) -> tuple[JudgedSplit, JudgedSplit]:
    """The films that neither bundle refused."""
    shared = {each.film.relative for each in ours.judged} & {each.film.relative for each in theirs.judged}
    return ours.only(shared), theirs.only(shared)


def _describe(values: Figures) -> str:
    other = values["bundle"]
    paragraphs = [
        f"This bundle beside {other['name']} {other['version']}, on the {values['films']} films that both judge. The last "
        "column is the gain with its paired interval; one that holds 0 may be chance. Of ECE, less is better.",
        comparison_table(values),
        f"{values['became_right']} films became right and {values['became_wrong']} wrong.",
    ]
    if values["unseen_sources"] is not None:
        paragraphs += [
            "Recall of linear probes on the embeddings, in sources that the probe has not seen (see the shortcut audit):",
            unseen_source_table(values["unseen_sources"]),
        ]
    return "\n\n".join(paragraphs)


PART = Part("comparison", "Against another bundle", _measure, _describe, draw_nothing)
