"""What a positive and a negative call are worth where a disease is rarer, or more frequent, than in the collection."""

from pathlib import Path

import numpy as np

from service.model.findings import FINDINGS, Finding
from training.evaluation.measures.bootstrap import FigurePath
from training.evaluation.measures.confusion import ConfusionMatrix, Floats, ratio
from training.evaluation.measures.intervals import interval_figures
from training.evaluation.part import Evidence, Measured, Part
from training.evaluation.parts.operating_points import callable_diseases, called_at
from training.evaluation.report.tables import picture, prevalence_table
from training.plots import new_figure, save

# From screening of a population of moderate burden to people who come to a clinic with symptoms.
PREVALENCES = (0.005, 0.01, 0.05, 0.10, 0.20)

# Where the model card says what a positive call is worth: the order of community screening.
_SCREENED = 0.01

_FIGURE = "prevalence.png"


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

    def statistics(weights: Floats) -> dict[FigurePath, Floats]:
        figures: dict[FigurePath, Floats] = {}
        for point, calls in called.items():
            matrix = ConfusionMatrix.of(judgements.labels, calls, len(FINDINGS), weights)
            for disease in callable_diseases(manifest, point):
                index = FINDINGS.index(disease)
                sensitivity, specificity = matrix.recall[..., index], matrix.specificity[..., index]
                where = (point, disease.value)
                figures[*where, "sensitivity"], figures[*where, "specificity"] = sensitivity, specificity
                for prevalence in PREVALENCES:
                    at = (*where, "at", str(prevalence))
                    figures[*at, "ppv"] = positive_predictive_value(sensitivity, specificity, prevalence)
                    figures[*at, "npv"] = negative_predictive_value(sensitivity, specificity, prevalence)
        return figures

    return interval_figures(statistics, judgements.groups, seed=evidence.seed, resamples=evidence.resamples)


def _describe(values: Measured) -> str:
    paragraphs = [
        "Positive and negative predictive value (PPV / NPV) follow from sensitivity and specificity by Bayes' theorem, if "
        "those stay what they are here. They would not quite: films of other diseases and healthy people mix differently "
        "elsewhere. Intervals of the predictive values are in metrics.json.",
    ]
    for disease in (Finding.TUBERCULOSIS, Finding.PNEUMONIA):
        paragraphs += [f"### {disease.value}", prevalence_table(values, disease)]
    return "\n\n".join([*paragraphs, picture("Predictive values of a call of tuberculosis", _FIGURE)])


def _draw(values: Measured, folder: Path) -> None:
    """Both predictive values of tuberculosis over the prevalence, a line a point."""
    prevalences = np.geomspace(0.001, 0.5, 60)
    figure = new_figure(9.0, 4.2)
    positive, negative = figure.subplots(1, 2)
    for point, diseases in values.items():
        each = diseases[Finding.TUBERCULOSIS.value]
        if each["sensitivity"] is None or each["specificity"] is None:
            continue
        rates = np.array(each["sensitivity"]), np.array(each["specificity"])
        positive.plot(prevalences, [positive_predictive_value(*rates, p) for p in prevalences], label=point)
        negative.plot(prevalences, [negative_predictive_value(*rates, p) for p in prevalences], label=point)
    positive.set(ylabel="PPV", ylim=(0, 1), title="A call of tuberculosis is right")
    negative.set(ylabel="NPV", title="A call of another finding is right")
    for axes in (positive, negative):
        axes.set(xlabel="prevalence of tuberculosis", xscale="log")
        axes.grid(alpha=0.3)
        axes.legend(fontsize="small")
    save(figure, folder / _FIGURE)


def _limits(values: Measured) -> list[str]:
    """What a positive call means in screening, at the operating point that is the default."""
    worth = values["balanced"][Finding.TUBERCULOSIS.value]["at"][str(_SCREENED)]["ppv"]
    if worth is None:
        return []
    return [
        f"Where {_SCREENED:.0%} of people have tuberculosis, {worth:.0%} of those called so at `balanced` would have it, at "
        "the sensitivity and specificity measured here."
    ]


PART = Part("prevalence", "Predictive values by prevalence", _measure, _describe, _draw, _limits)
