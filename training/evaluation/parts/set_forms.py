"""Other forms of prediction sets beside the released one, all calibrated on the val split."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from service.model.findings import FINDINGS
from training.conformal import (
    Sets,
    adaptive_scores,
    class_quantiles,
    conformal_quantile,
    sets_of,
    threshold_scores,
)
from training.evaluation.evidence import Evidence
from training.evaluation.measures.metrics import Judgements
from training.evaluation.part import Measured, Part, cost_of_intervals
from training.evaluation.parts.prediction_sets import set_metrics, size_counts
from training.evaluation.report.tables import number, with_interval
from training.plots import new_figure, save
from training.tables import markdown_table, picture

COVERAGES = (0.90, 0.95)

# RAPS: penalty of each finding after the most probable one, about the probability of a third finding on a film that could be
# either of two.
PENALTY = 0.1

_PLOT_NAME = "set_sizes.png"

# Probabilities [N, C] and a generator of random numbers -> scores [N, C].
_Scores = Callable[[npt.NDArray[np.float64], np.random.Generator], npt.NDArray[np.float64]]


@dataclass(frozen=True)
class _Form:
    """One form."""

    title: str  # in the report
    scores: _Scores  # see `training.conformal`
    per_class: bool = False  # whether each class has a quantile of its own (Mondrian)
    never_empty: bool = False  # see `sets_of`


_FORMS = {
    "threshold": _Form("one threshold", lambda p, _: threshold_scores(p)),
    "threshold_per_class": _Form("a threshold for each class", lambda p, _: threshold_scores(p), per_class=True),
    "aps": _Form("APS", lambda p, _: adaptive_scores(p), never_empty=True),
    "aps_drawn": _Form("APS, randomised", lambda p, rng: adaptive_scores(p, draws=rng.random(len(p))), never_empty=True),
    "raps_drawn": _Form(
        "RAPS, randomised",
        lambda p, rng: adaptive_scores(p, penalty=PENALTY, draws=rng.random(len(p))),
        never_empty=True,
    ),
}


def form_sets(name: str, reference: Judgements, judged: Judgements, coverage: float, seed: int) -> Sets:
    """Sets of one form, bool [N, C], for the judged films, calibrated on the reference."""
    form, rng = _FORMS[name], np.random.default_rng(seed)
    scores = form.scores(reference.probabilities, rng)
    of_truth = scores[np.arange(len(scores)), reference.labels]
    quantiles = (
        class_quantiles(of_truth, reference.labels, coverage, len(FINDINGS))
        if form.per_class
        else conformal_quantile(of_truth, coverage)
    )
    kept = judged.probabilities if form.never_empty else None
    return sets_of(form.scores(judged.probabilities, rng), quantiles, never_empty_of=kept)


def _measure(evidence: Evidence) -> Measured:
    """By form and wanted coverage: the values of `set_metrics`, and how many films have a set of which size."""
    reference, judged = evidence.judged("val").judgements(), evidence.judged().judgements()
    return {
        "split": evidence.split,
        "released": "threshold_per_class" if evidence.bundle.manifest.conformal.is_per_class else "threshold",
        "calibrated_on": len(reference.labels),
        "forms": {name: _measure_form(name, evidence, reference, judged) for name in _FORMS},
    }


def _measure_form(name: str, evidence: Evidence, reference: Judgements, judged: Judgements) -> dict[str, Any]:
    measured: dict[str, Any] = {"title": _FORMS[name].title}
    for coverage in COVERAGES:
        sets = form_sets(name, reference, judged, coverage, evidence.bootstrap.seed)
        statistics = partial(set_metrics, judged, sets)
        measured[str(coverage)] = {"sizes": size_counts(sets), **evidence.bootstrap.measure(statistics, judged.groups)}
    return measured


def _paragraphs(values: Measured) -> list[str]:
    chosen_on_itself = " Here that is the split itself, so coverage is as promised." if values["split"] == "val" else ""
    return [
        f"Forms of sets, calibrated on {values['calibrated_on']} films of the val split at 90 % and "
        f"95 %.{chosen_on_itself} A threshold for each class promises its coverage to each class. APS "
        "adds up findings from the most probable on, so that its sets grow where the network is unsure; RAPS "
        f"(arXiv:2009.14193) adds a penalty of {PENALTY} for each finding after the first. Both hold the most probable "
        "finding in any case, which lifts their coverage above the promise. The randomised ones draw a number for each "
        f"film, by a seed. The bundle ships {values['forms'][values['released']]['title']}, at its own coverage.",
        _table(values),
        picture("Sizes of prediction sets", _PLOT_NAME),
    ]


def _table(values: Measured) -> str:
    """Coverage, by class too, and sizes of each form."""
    rows = [
        (
            form["title"],
            f"{float(wanted):.0%}",
            with_interval(level, "coverage"),
            *(number(level["per_class"].get(finding.value, {}).get("coverage")) for finding in FINDINGS),
            with_interval(level, "mean_size"),
            *(str(films) for films in level["sizes"].values()),
        )
        for form in values["forms"].values()
        for wanted, level in form.items()
        if wanted != "title"
    ]
    header = ("form", "promised", "coverage", *(finding.value for finding in FINDINGS), "mean size")
    return markdown_table((*header, *(f"size {size}" for size in range(len(FINDINGS) + 1))), rows)


def _draw(values: Measured, folder: Path) -> None:
    """One bar for each form and coverage, divided by size of set."""
    bars = [
        (f"{form['title']}, {float(coverage):.0%}", form[coverage]["sizes"])
        for form in values["forms"].values()
        for coverage in map(str, COVERAGES)
    ]
    shares = np.array([list(sizes.values()) for _, sizes in bars], dtype=float)
    shares /= shares.sum(axis=1, keepdims=True)
    figure = new_figure(7.2, 4.4)
    axes = figure.subplots()
    start = np.zeros(len(bars))
    for size, colour in enumerate(("#bdbdbd", "#2c7fb8", "#fdae61", "#d7301f")):
        axes.barh(range(len(bars)), shares[:, size], left=start, color=colour, label=f"{size}")
        start += shares[:, size]
    axes.set_yticks(range(len(bars)), [name for name, _ in bars])
    axes.invert_yaxis()
    axes.set(xlabel="share of films", xlim=(0, 1))
    axes.legend(title="findings in the set", ncols=4, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    save(figure, folder / _PLOT_NAME)


def _cost(evidence: Evidence) -> float:
    """The validation split is judged, to calibrate on."""
    return evidence.count("val") + cost_of_intervals(evidence)


PART = Part("set_forms", "Other forms of prediction sets", _measure, _paragraphs, _draw, in_card=False, cost=_cost)
