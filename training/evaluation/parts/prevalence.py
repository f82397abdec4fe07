"""Predictive values where a disease is rarer, or more frequent, than in the evaluated films."""

from service.model.findings import FINDINGS, Finding
from training.evaluation.evidence import Evidence
from training.evaluation.measures.bootstrap import MetricPath
from training.evaluation.measures.confusion import ConfusionMatrix, Floats, ratio
from training.evaluation.part import Measured, Part
from training.evaluation.parts.operating_points import callable_diseases, called_at
from training.evaluation.report.tables import with_interval
from training.tables import UNDEFINED, markdown_table

# From screening of a population of moderate burden to people who come to a clinic with symptoms.
PREVALENCES = (0.005, 0.01, 0.05, 0.10, 0.20)

# The prevalence that the model card gives the positive predictive value for: the order of community screening.
_SCREENED = 0.01


def positive_predictive_value(sensitivity: Floats, specificity: Floats, prevalence: float) -> Floats:
    """Share of positive calls that are right, by Bayes' theorem; NaN where nothing is called positive."""
    true, false = sensitivity * prevalence, (1 - specificity) * (1 - prevalence)
    return ratio(true, true + false)


def negative_predictive_value(sensitivity: Floats, specificity: Floats, prevalence: float) -> Floats:
    """Share of negative calls that are right, by Bayes' theorem; NaN where everything is called positive."""
    true, false = specificity * (1 - prevalence), (1 - sensitivity) * prevalence
    return ratio(true, true + false)


def _measure(evidence: Evidence) -> Measured:
    """{operating point: {disease: sensitivity, specificity, and "at": {prevalence: ppv, npv}}}, with intervals."""
    manifest, split = evidence.bundle.manifest, evidence.judged()
    judgements = split.judgements()
    called = {point: called_at(split, manifest, point) for point in sorted(manifest.operating_points)}

    def statistics(weights: Floats) -> dict[MetricPath, Floats]:
        values: dict[MetricPath, Floats] = {}
        for point, calls in called.items():
            matrix = ConfusionMatrix.of(judgements.labels, calls, len(FINDINGS), weights)
            for disease in callable_diseases(manifest, point):
                index = FINDINGS.index(disease)
                sensitivity, specificity = matrix.recall[..., index], matrix.specificity[..., index]
                where = (point, disease.value)
                values[*where, "sensitivity"], values[*where, "specificity"] = sensitivity, specificity
                for prevalence in PREVALENCES:
                    at = (*where, "at", str(prevalence))
                    values[*at, "ppv"] = positive_predictive_value(sensitivity, specificity, prevalence)
                    values[*at, "npv"] = negative_predictive_value(sensitivity, specificity, prevalence)
        return values

    return evidence.bootstrap.measure(statistics, judgements.groups)


def _paragraphs(values: Measured) -> list[str]:
    paragraphs = [
        "Positive and negative predictive value (PPV / NPV) follow from sensitivity and specificity by Bayes' theorem, if "
        "those stay what they are here. They would not quite: films of other diseases and healthy people mix differently "
        "elsewhere. Intervals of the predictive values are in metrics.json.",
    ]
    for disease in (Finding.TUBERCULOSIS, Finding.PNEUMONIA):
        paragraphs += [f"### {disease.value}", _table(values, disease)]
    return paragraphs


def _table(values: Measured, disease: Finding) -> str:
    """PPV / NPV of one disease by operating point and prevalence."""
    chosen = {point: diseases[disease] for point, diseases in values.items() if disease in diseases}
    prevalences = list(next(iter(chosen.values()))["at"]) if chosen else []
    rows = [
        (
            point,
            with_interval(each, "sensitivity"),
            with_interval(each, "specificity"),
            *(f"{_percent(each['at'][at]['ppv'], 1)} / {_percent(each['at'][at]['npv'], 2)}" for at in prevalences),
        )
        for point, each in chosen.items()
    ]
    header = (f"PPV / NPV at {float(at) * 100:g} %" for at in prevalences)
    return markdown_table(("operating point", "sensitivity", "specificity", *header), rows)


def _percent(share: float | None, decimals: int) -> str:
    return UNDEFINED if share is None else f"{share:.{decimals}%}"


def _limits(values: Measured) -> list[str]:
    """The positive predictive value in screening, at the default operating point."""
    worth = values["balanced"][Finding.TUBERCULOSIS.value]["at"][str(_SCREENED)]["ppv"]
    if worth is None:
        return []
    return [
        f"Where {_SCREENED:.0%} of people have tuberculosis, {worth:.0%} of those called so at `balanced` would have it, at "
        "the sensitivity and specificity measured here."
    ]


PART = Part("prevalence", "Predictive values by prevalence", _measure, _paragraphs, limits=_limits)
