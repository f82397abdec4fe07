"""The figures of metrics.json as Markdown tables, shared by the report, the model card and the terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

from service.model.findings import FINDINGS, Finding
from training.data.folder import SPLITS
from training.evaluation.measures.intervals import without_intervals
from training.tables import UNDEFINED, markdown_table

# A level of metrics.json.
Figures = Mapping[str, Any]

_HEADLINE_LABELS = {
    "accuracy": "Accuracy",
    "macro_auc": "Macro AUC",
    "macro_f1": "Macro F1",
    "tuberculosis_recall": "Tuberculosis recall",
    "macro_ece": "Macro ECE",
}
_CALIBRATION_LABELS = {
    "macro_ece_equal_width": "Macro ECE, equal width",
    "macro_ece_equal_mass": "Macro ECE, equal mass",
    "top_label_ece_equal_width": "Top-label ECE, equal width",
    "top_label_ece_equal_mass": "Top-label ECE, equal mass",
    "brier_score": "Brier score",
    "log_loss": "Log loss (nats)",
}
_STAGES = {"before": "before", "after": "after (95 % interval)"}
_COUNTED = ("precision", "recall", "specificity", "f1")
_RANKED = {"auc": "AUC", "average_precision": "average precision", "ece": "ECE"}

# Beside tables with intervals; the bound is the rule of three (Hanley & Lippman-Hand 1983).
INTERVAL_NOTE = (
    "An interval of no width, such as 1.000 to 1.000, says only that these films show no error, not that there is none: "
    "of n films without an error, up to 3/n could be wrong."
)

# Where pictures lie, seen from the report.
FIGURES_FOLDER = "figures"


def number(value: float | None) -> str:
    """Three decimals, or a dash for what is undefined."""
    return UNDEFINED if value is None else f"{value:.3f}"


def with_interval(level: Figures, name: str) -> str:
    """A figure of one level of metrics.json and its 95 % interval: "0.889 (0.870 to 0.908)"."""
    if level.get(name) is None:
        return UNDEFINED
    low, high = level["interval_95"][name]
    return f"{level[name]:.3f} ({low:.3f} to {high:.3f})"


def headline_table(metrics: Figures) -> str:
    """The figures that one would name first."""
    rows = [(label, with_interval(metrics["headline"], name)) for name, label in _HEADLINE_LABELS.items()]
    return markdown_table(("figure", "value (95 % interval)"), rows)


def class_table(metrics: Figures) -> str:
    """One row a class, then macro and weighted means (REPORT Table 18)."""
    columns = (*_COUNTED, *_RANKED)
    rows = [
        (name, str(each["support"]), *(with_interval(each, figure) for figure in columns))
        for name, each in metrics["per_class"].items()
    ]
    for mean in ("macro", "weighted"):
        cells = (with_interval(metrics[mean], figure) for figure in columns)
        rows.append((f"{mean} mean", str(metrics["n"]), *cells))
    return markdown_table(("class", "films", *_COUNTED, *_RANKED.values()), rows)


def source_table(metrics: Figures) -> str:
    """One row a source: accuracy, and recall of each class that it has."""
    rows = [
        (
            source,
            str(each["n"]),
            with_interval(each, "accuracy"),
            *(with_interval(each["recall"], finding.value) for finding in FINDINGS),
        )
        for source, each in metrics["per_source"].items()
    ]
    return markdown_table(("source", "films", "accuracy", *(f"recall {finding.value}" for finding in FINDINGS)), rows)


def source_class_table(metrics: Figures) -> str:
    """One row a source and class: the class against the source's other classes, a dash where it has none."""
    rows = [
        (source, finding, str(each["support"]), *(with_interval(each, figure) for figure in (*_COUNTED, "auc")))
        for source, classes in metrics["per_source_and_class"].items()
        for finding, each in classes.items()
    ]
    return markdown_table(("source", "class", "films", *_COUNTED, "AUC"), rows)


def pair_table(metrics: Figures) -> str:
    """AUC between two classes of one source, where the hospital gives nothing away."""
    rows = []
    for source, each in metrics["per_source"].items():
        areas = each.get("auc", {})
        for pair in (name for name in areas if name != "interval_95"):
            films = " / ".join(str(each["support"][finding]) for finding in pair.split(" vs "))
            rows.append((source, pair, films, with_interval(areas, pair)))
    return markdown_table(("source", "classes", "films", "AUC"), rows)


def confusion_table(metrics: Figures) -> str:
    """The one confusion matrix."""
    matrix = metrics["confusion_matrix"]
    rows = [(f"true {name}", *map(str, counts)) for name, counts in zip(matrix["findings"], matrix["counts"], strict=True)]
    return markdown_table(("", *(f"called {name}" for name in matrix["findings"])), rows)


def calibration_table(values: Figures) -> str:
    """Calibration as a whole, before and after the temperature; `values` of the part "calibration"."""
    rows = [
        (label, number(values["before"][name]), with_interval(values["after"], name))
        for name, label in _CALIBRATION_LABELS.items()
    ]
    return markdown_table(("figure", *_STAGES.values()), rows)


def classwise_calibration_table(values: Figures) -> str:
    """ECE of each class's own probability, before and after the temperature."""
    binnings = {"ece_equal_width": "equal width", "ece_equal_mass": "equal mass"}
    rows = [
        (
            finding,
            *(
                cell
                for name in binnings
                for cell in (number(values["before"]["per_class"][finding][name]), with_interval(after, name))
            ),
        )
        for finding, after in values["after"]["per_class"].items()
    ]
    header = (f"{binning}, {stage}" for binning in binnings.values() for stage in _STAGES.values())
    return markdown_table(("class", *header), rows)


def operating_point_table(values: Figures) -> str:
    """Recall, specificity and precision of the diseases at each operating point (REPORT Table 21); a dash: not called there.

    values: of the part "operating_points".
    """
    rows = [
        (
            name,
            _rule(point),
            disease,
            *(with_interval(figures, figure) for figure in ("recall", "specificity", "precision")),
            with_interval(point, "accuracy"),
        )
        for name, point in values.items()
        for disease, figures in point["per_class"].items()
    ]
    return markdown_table(("operating point", "rule", "disease", "recall", "specificity", "precision", "accuracy"), rows)


def review_table(values: Figures) -> str:
    """How many films each operating point sends to a person, and why."""
    reasons = sorted({reason for point in values.values() for reason in point["review"]["reasons"]})
    rows = [
        (
            name,
            f"{point['review']['films']} ({point['review']['share']:.1%})",
            number(point["review"]["accuracy_without"]),
            *(str(point["review"]["reasons"].get(reason, 0)) for reason in reasons),
        )
        for name, point in values.items()
    ]
    return markdown_table(("operating point", "films for review", "accuracy on the others", *reasons), rows)


def unflagged_table(values: Figures) -> str:
    """Errors without a reason for review, of all errors, by operating point; a dash where not every disease is called."""
    diseases = sorted({disease for point in values.values() for disease in point["review"]["called_normal"]})
    rows = [
        (name, *(_unflagged(each) for each in (review["errors"], *map(review["called_normal"].get, diseases))))
        for name, review in ((name, point["review"]) for name, point in values.items())
    ]
    return markdown_table(("not flagged, at", "errors", *(f"{disease} called Normal" for disease in diseases)), rows)


def prevalence_table(values: Figures, disease: Finding) -> str:
    """PPV / NPV of one disease by operating point and prevalence; `values` of the part "prevalence"."""
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


def roc_point_table(values: Figures) -> str:
    """Points of the ROC curve of tuberculosis; `values` of the part "screening"."""
    curve = values["curve"]
    rows = [("AUC", with_interval(curve, "auc"))]
    for key, other in (("sensitivity_at_specificity", "specificity"), ("specificity_at_sensitivity", "sensitivity")):
        rows += [
            (f"{key.split('_')[0]} at {other} >= {float(wanted):.0%}", with_interval(curve[key], wanted))
            for wanted in curve[key]
            if wanted != "interval_95"
        ]
    return markdown_table(("figure", "value (95 % interval)"), rows)


def landing_table(values: Figures) -> str:
    """Where thresholds of the val split land, over all films and within sources; `values` of the part "screening"."""
    rows = []
    for wanted, landed in values["landed"].items():
        chosen = (f"{float(wanted):.0%}", number(values["thresholds"][wanted]))
        on_val = values["on_val"][wanted]
        rows.append((*chosen, "val, all films", number(on_val["sensitivity"]), number(on_val["specificity"])))
        for where, each in {f"{values['split']}, all films": landed, **landed.get("per_source", {})}.items():
            rows.append((*chosen, where, with_interval(each, "sensitivity"), with_interval(each, "specificity")))
    return markdown_table(("wanted on val", "threshold", "films", "sensitivity", "specificity"), rows)


def prediction_set_table(values: Figures) -> str:
    """Coverage and size of the released sets, over all films, by class and by source."""
    everything = {"all films": values, **values["per_class"], **values["per_source"]}
    rows = [(name, with_interval(each, "coverage"), with_interval(each, "mean_size")) for name, each in everything.items()]
    return markdown_table(("films", "coverage", "mean size"), rows)


def set_form_table(values: Figures) -> str:
    """Coverage, by class too, and sizes of each form of prediction sets; `values` of the part "set_forms"."""
    rows = [
        (
            form["title"],
            f"{float(wanted):.0%}",
            with_interval(figures, "coverage"),
            *(number(figures["per_class"].get(finding.value, {}).get("coverage")) for finding in FINDINGS),
            with_interval(figures, "mean_size"),
            *(str(films) for films in figures["sizes"].values()),
        )
        for form in values["forms"].values()
        for wanted, figures in form.items()
        if wanted != "title"
    ]
    header = ("form", "promised", "coverage", *(finding.value for finding in FINDINGS), "mean size")
    return markdown_table((*header, *(f"size {size}" for size in range(len(FINDINGS) + 1))), rows)


def comparison_table(values: Figures) -> str:
    """Both bundles' figures and what is gained; `values` of the part "comparison"."""
    theirs, gained = values["theirs"], values["difference"]
    rows = [_compared(label, theirs["headline"], gained["headline"], name) for name, label in _HEADLINE_LABELS.items()]
    for finding, each in gained["per_class"].items():
        for name, label in (("recall", "recall"), ("auc", "AUC")):
            rows.append(_compared(f"{finding}: {label}", theirs["per_class"][finding], each, name))
    for source, each in gained["per_source"].items():
        rows.append(_compared(f"{source}: accuracy", theirs["per_source"][source], each, "accuracy"))
    return markdown_table(("figure", "the other", "this", "gain (95 % interval)"), rows)


def unseen_source_table(values: Figures) -> str:
    """The same of probes in sources that they have not seen; `unseen_sources` of the part "comparison"."""
    theirs, gained = values["theirs"], values["difference"]
    rows = [_compared("mean", theirs, gained, "mean_recall")]
    for source, each in gained["per_source"].items():
        rows += [
            _compared(f"{source}: {name}", theirs["per_source"][source]["recall"], each["recall"], name)
            for name in without_intervals(each["recall"])
        ]
    return markdown_table(("recall", "the other", "this", "gain (95 % interval)"), rows)


def misclassified_table(values: Figures) -> str:
    """Errors by truth and call; `values` of the part "misclassified"."""
    rows = [
        (
            f"{each['truth']} called {each['called']}",
            str(each["films"]),
            number(each["median_confidence"]),
            ", ".join(f"{source} {films}" for source, films in each["sources"].items()),
        )
        for each in values["by_error"]
    ]
    return markdown_table(("error", "films", "median confidence", "sources"), rows)


def data_table(data: Figures) -> str:
    """Films by source, class and split; `data` as provenance.summarise_data makes it."""
    rows = [
        (source, finding, *(str(counts[split]) for split in SPLITS))
        for source, each in data.items()
        for finding, counts in each["counts"].items()
    ]
    return markdown_table(("source", "class", *SPLITS), rows)


def licence_list(data: Figures) -> str:
    """Dataset, licence and non-commercial flag of each source, with the number of films where they differ."""
    lines = []
    for source, each in data.items():
        dataset, licence, noncommercial = (_stated(each[name]) for name in ("dataset", "licence", "noncommercial"))
        lines.append(f"- {source}: {dataset}. Licence: {licence}. Non-commercial: {noncommercial}.")
    return "\n".join(lines)


def picture(title: str, name: str) -> str:
    """A picture of the folder figures/, as Markdown."""
    return f"![{title}]({FIGURES_FOLDER}/{name})"


def enumerated(words: Sequence[str]) -> str:
    """ "a", "a and b", "a, b and c"; at least one word."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _compared(label: str, theirs: Figures, gained: Figures, name: str) -> tuple[str, ...]:
    if gained.get(name) is None:
        return (label, number(theirs.get(name)), UNDEFINED, UNDEFINED)
    low, high = gained["interval_95"][name]
    gain = f"{gained[name]:+.3f} ({low:+.3f} to {high:+.3f})"
    return (label, number(theirs[name]), number(theirs[name] + gained[name]), gain)


def _rule(point: Figures) -> str:
    return ", ".join(f"{disease} >= {threshold:.3g}" for disease, threshold in point["thresholds"].items()) or "most probable"


def _unflagged(count: Mapping[str, int] | None) -> str:
    return UNDEFINED if count is None else f"{count['unflagged']} of {count['films']}"


def _percent(share: float | None, decimals: int) -> str:
    return UNDEFINED if share is None else f"{share:.{decimals}%}"


def _stated(tally: Mapping[str, int]) -> str:
    if len(tally) == 1:
        return next(iter(tally))
    return "; ".join(f"{statement} ({films} films)" for statement, films in tally.items())
