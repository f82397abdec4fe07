"""Coverage and size of the conformal prediction sets, by class and by source."""

import numpy as np
import numpy.typing as npt

from service.model.findings import FINDINGS
from training.evaluation.evidence import Evidence
from training.evaluation.measures.bootstrap import MetricPath
from training.evaluation.measures.confusion import Floats, ratio
from training.evaluation.measures.metrics import Judgements
from training.evaluation.part import Measured, Part
from training.evaluation.parts.operating_points import decide_films
from training.evaluation.report.tables import enumerated, with_interval
from training.tables import markdown_table


def _set_metrics(judgements: Judgements, sets: npt.NDArray[np.bool_], weights: Floats) -> dict[MetricPath, Floats]:
    """Coverage and mean size of `sets`, bool [N, C]: of all films, by class and by source. weights: [B, N]."""
    holds_truth = sets[np.arange(len(sets)), judgements.labels].astype(float)
    sizes = sets.sum(axis=1).astype(float)
    films_of: dict[MetricPath, Floats] = {(): np.ones(len(sets))}
    for index, finding in enumerate(FINDINGS):
        if (judgements.labels == index).any():
            films_of["per_class", finding.value] = (judgements.labels == index).astype(float)
    films_of |= {("per_source", source): judgements.of_source(source).astype(float) for source in judgements.source_names}
    values: dict[MetricPath, Floats] = {}
    for where, chosen in films_of.items():
        total = weights @ chosen
        values[*where, "coverage"] = ratio(weights @ (chosen * holds_truth), total)
        values[*where, "mean_size"] = ratio(weights @ (chosen * sizes), total)
    return values


def _measure(evidence: Evidence) -> Measured:
    """The sets that the service returns: what the bundle promises of them, and what they keep."""
    split, conformal = evidence.judged(), evidence.bundle.manifest.conformal
    judgements = split.judgements()
    decisions = decide_films(split, evidence.bundle.manifest)
    sets = np.array([[finding in decision.prediction_set for finding in FINDINGS] for decision in decisions])
    return {
        "promised_coverage": conformal.coverage,
        "promised_to_each_class": conformal.is_per_class,
        "quantiles": {finding.value: quantile for finding, quantile in conformal.quantiles.items()},
        "sizes": {str(size): int(np.sum(sets.sum(axis=1) == size)) for size in range(len(FINDINGS) + 1)},
        **evidence.bootstrap.measure(lambda weights: _set_metrics(judgements, sets, weights), judgements.groups),
    }


def _paragraphs(values: Measured) -> list[str]:
    sizes = enumerated([f"{films} of size {size}" for size, films in values["sizes"].items()])
    least = enumerated([f"{1 - quantile:.3f} for {finding}" for finding, quantile in values["quantiles"].items()])
    promise = (
        "The promise holds for each class, but not for a single source"
        if values["promised_to_each_class"]
        else "The promise holds over all films, but not for a single class or source"
    )
    levels = {"all films": values, **values["per_class"], **values["per_source"]}
    rows = [(name, with_interval(each, "coverage"), with_interval(each, "mean_size")) for name, each in levels.items()]
    return [
        f"The sets that the service returns promise to contain the true finding for {values['promised_coverage']:.0%} of films "
        f"like those of the val split. {promise}. A set holds the findings with a probability of at least {least}. "
        f"Of the sets, {sizes}.",
        markdown_table(("films", "coverage", "mean size"), rows),
    ]


def _limits(values: Measured) -> list[str]:
    """The classes and sources whose coverage is below the promised one beyond chance."""
    below = [
        f"{name} {each['coverage']:.0%}"
        for level in ("per_class", "per_source")
        for name, each in values[level].items()
        if each["interval_95"]["coverage"][1] < values["promised_coverage"]
    ]
    if not below:
        return []
    return [
        f"Prediction sets made for {values['promised_coverage']:.0%} coverage contain the true finding less often for some "
        f"films: {enumerated(below)}."
    ]


PART = Part("prediction_sets", "Prediction sets", _measure, _paragraphs, limits=_limits)
