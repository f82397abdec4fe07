"""How well the released prediction sets keep their promise, by class and by source; and how large they are."""

import numpy as np

from service.model.findings import FINDINGS
from training.conformal import Sets
from training.evaluation.measures.bootstrap import FigurePath
from training.evaluation.measures.confusion import Floats, ratio
from training.evaluation.measures.intervals import interval_figures
from training.evaluation.measures.metrics import Judgements
from training.evaluation.part import Evidence, Measured, Part, draw_nothing
from training.evaluation.parts.operating_points import decide_films
from training.evaluation.report.tables import enumerated, prediction_set_table


def set_figures(judgements: Judgements, sets: Sets, weights: Floats) -> dict[FigurePath, Floats]:
    """Coverage and mean size of sets, bool [N, C], over all films, by class and by source; weights [..., N]."""
    holds_truth = sets[np.arange(len(sets)), judgements.labels].astype(float)
    sizes = sets.sum(axis=1).astype(float)
    places: dict[FigurePath, Floats] = {(): np.ones(len(sets))}
    for index, finding in enumerate(FINDINGS):
        if (judgements.labels == index).any():
            places["per_class", finding.value] = (judgements.labels == index).astype(float)
    places |= {("per_source", source): judgements.of_source(source).astype(float) for source in judgements.source_names}
    figures: dict[FigurePath, Floats] = {}
    for where, chosen in places.items():
        films = weights @ chosen
        figures[*where, "coverage"] = ratio(weights @ (chosen * holds_truth), films)
        figures[*where, "mean_size"] = ratio(weights @ (chosen * sizes), films)
    return figures


def size_counts(sets: Sets) -> dict[str, int]:
    """How many films have a set of 0, 1, ... findings."""
    return {str(size): int(n) for size, n in enumerate(np.bincount(sets.sum(axis=1), minlength=len(FINDINGS) + 1))}


def _measure(evidence: Evidence) -> Measured:
    """The sets that the service answers."""
    split, conformal = evidence.judged(), evidence.bundle.manifest.conformal
    judgements = split.judgements()
    decisions = decide_films(split, evidence.bundle.manifest)
    sets = np.array([[finding in decision.prediction_set for finding in FINDINGS] for decision in decisions])
    return {
        "promised_coverage": conformal.coverage,
        "promised_to_each_class": conformal.is_per_class,
        "quantiles": {finding.value: quantile for finding, quantile in conformal.quantiles.items()},
        "sizes": size_counts(sets),
        **interval_figures(
            lambda weights: set_figures(judgements, sets, weights),
            judgements.groups,
            seed=evidence.seed,
            resamples=evidence.resamples,
        ),
    }


def _describe(values: Measured) -> str:
    sizes = enumerated([f"{films} of size {size}" for size, films in values["sizes"].items()])
    reached = enumerated([f"{finding} from {1 - quantile:.3f}" for finding, quantile in values["quantiles"].items()])
    promise = (
        "to the films of each class, and nothing to a single source"
        if values["promised_to_each_class"]
        else "as a whole; they promise nothing to a single class or source"
    )
    return "\n\n".join(
        [
            f"The sets that the service answers promise to hold the truth for {values['promised_coverage']:.0%} of films like "
            f"those of the val split, {promise}. By probability, they hold {reached} on. Of the sets, {sizes}.",
            prediction_set_table(values),
        ]
    )


def _limits(values: Measured) -> list[str]:
    """Classes and sources whose coverage is below the promise by more than chance."""
    short = [
        f"{name} {each['coverage']:.0%}"
        for level in ("per_class", "per_source")
        for name, each in values[level].items()
        if each["interval_95"]["coverage"][1] < values["promised_coverage"]
    ]
    if not short:
        return []
    return [
        f"Prediction sets made for {values['promised_coverage']:.0%} coverage hold the truth less often for some films: "
        f"{enumerated(short)}."
    ]


PART = Part("prediction_sets", "Prediction sets", _measure, _describe, draw_nothing, _limits)
