"""Predictive values where a disease is rarer or more frequent than in the evaluated films."""

from service.model.decision import DEFAULT_OPERATING_POINT
from service.model.findings import FINDINGS, Finding
from training.evaluation.evidence import Evidence
from training.evaluation.measures.bootstrap import MetricPath
from training.evaluation.measures.confusion import ConfusionMatrix, Floats, ratio
from training.evaluation.part import Measured, Part
from training.evaluation.parts.operating_points import callable_diseases, called_classes, decide_films
from training.evaluation.report.tables import with_interval
from training.tables import UNDEFINED, markdown_table

# From screening a population with a moderate burden of disease to people who come to a clinic with symptoms.
PREVALENCES = (0.005, 0.01, 0.05, 0.10, 0.20)

# One of PREVALENCES, the order of magnitude in community screening; the model card states the predictive value at it.
_SCREENING_PREVALENCE = 0.01


def positive_predictive_value(sensitivity: Floats, specificity: Floats, prevalence: float) -> Floats:
    """PPV, the share of positive calls that are right, by Bayes' theorem, 0..1; NaN where nothing is called positive."""
    true, false = sensitivity * prevalence, (1 - specificity) * (1 - prevalence)
    return ratio(true, true + false)


def negative_predictive_value(sensitivity: Floats, specificity: Floats, prevalence: float) -> Floats:
    """NPV, the share of negative calls that are right, by Bayes' theorem, 0..1; NaN where everything is called positive."""
    true, false = specificity * (1 - prevalence), (1 - sensitivity) * prevalence
    return ratio(true, true + false)


def _measure(evidence: Evidence) -> Measured:
    """{operating point: {disease: sensitivity, specificity, and "at": {prevalence: ppv, npv}}}, with intervals."""
    manifest, split = evidence.bundle.manifest, evidence.judged()
    judgements = split.judgements()
    called = {point: called_classes(decide_films(split, manifest, point)) for point in sorted(manifest.operating_points)}

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
        "Positive and negative predictive value (PPV / NPV), computed from sensitivity and specificity by Bayes' theorem as if "
        "these were the same everywhere. They are not quite: the mix of other diseases and healthy people differs elsewhere. "
        "metrics.json has the intervals of the predictive values.",
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
    headings = (f"PPV / NPV at {float(at) * 100:g} %" for at in prevalences)
    return markdown_table(("operating point", "sensitivity", "specificity", *headings), rows)


def _percent(share: float | None, decimals: int) -> str:
    return UNDEFINED if share is None else f"{share:.{decimals}%}"


def _limits(values: Measured) -> list[str]:
    """The positive predictive value for tuberculosis in screening, at the default operating point."""
    ppv = values[DEFAULT_OPERATING_POINT][Finding.TUBERCULOSIS.value]["at"][str(_SCREENING_PREVALENCE)]["ppv"]
    if ppv is None:
        return []
    return [
        f"Where {_SCREENING_PREVALENCE:.0%} of people have tuberculosis, {ppv:.0%} of those called Tuberculosis at "
        f"`{DEFAULT_OPERATING_POINT}` would have it, at the sensitivity and specificity measured here."
    ]


PART = Part("prevalence", "Predictive values by prevalence", _measure, _paragraphs, limits=_limits)
