"""The figures of metrics.json as Markdown tables, shared by the report, the model card and the terminal."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from service.contract.findings import DISEASES, FINDINGS
from training.folder import SPLITS

Figures = Mapping[str, Any]

_HEADLINE_LABELS = {
    "accuracy": "Accuracy",
    "macro_auc": "Macro AUC",
    "macro_f1": "Macro F1",
    "tuberculosis_recall": "Tuberculosis recall",
    "macro_ece": "Macro ECE",
}
_CALIBRATION_LABELS = {"top_label_ece": "Top-label ECE", "brier_score": "Brier score", "log_loss": "Log loss (nats)"}
_COUNTED = ("precision", "recall", "specificity", "f1")
_UNDEFINED = "-"


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table with aligned columns, the first to the left and the others to the right; readable in a terminal too."""
    lines = [list(header), *([cell.replace("|", "/") for cell in row] for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]

    def joined(cells: Sequence[str]) -> str:
        padded = [cells[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True))]
        return f"| {' | '.join(padded)} |"

    return "\n".join([joined(lines[0]), joined(rule), *map(joined, lines[1:])])


def number(value: float | None) -> str:
    """Three decimals, or a dash for what is undefined."""
    return _UNDEFINED if value is None else f"{value:.3f}"


def with_interval(level: Figures, name: str) -> str:
    """A figure of one level of metrics.json and its 95 % interval: "0.889 (0.870 to 0.908)"."""
    if level.get(name) is None:
        return _UNDEFINED
    low, high = level["interval_95"][name]
    return f"{level[name]:.3f} ({low:.3f} to {high:.3f})"


def headline_table(metrics: Figures) -> str:
    """The figures that one would name first."""
    rows = [(label, with_interval(metrics["headline"], name)) for name, label in _HEADLINE_LABELS.items()]
    return markdown_table(("figure", "value (95 % interval)"), rows)


def class_table(metrics: Figures) -> str:
    """One row a class, then macro and weighted means (REPORT Table 18)."""
    per_class = metrics["per_class"]
    rows = [
        (name, str(each["support"]), *(with_interval(each, figure) for figure in (*_COUNTED, "auc", "ece")))
        for name, each in per_class.items()
    ]
    headline, n = metrics["headline"], str(metrics["n"])
    macro_tail = (number(headline["macro_auc"]), number(headline["macro_ece"]))
    rows.append(("macro mean", n, *(number(metrics["macro"][figure]) for figure in _COUNTED), *macro_tail))
    rows.append(("weighted mean", n, *(number(metrics["weighted"][figure]) for figure in _COUNTED), _UNDEFINED, _UNDEFINED))
    return markdown_table(("class", "films", *_COUNTED, "AUC", "ECE"), rows)


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


def calibration_table(metrics: Figures) -> str:
    """Calibration as a whole; the ECE of each class stands in the class table."""
    calibration = metrics["calibration"]
    rows = [(label, with_interval(calibration, name)) for name, label in _CALIBRATION_LABELS.items()]
    return markdown_table(("figure", "value (95 % interval)"), rows)


def operating_point_table(metrics: Figures) -> str:
    """Recall and specificity of the diseases under each operating point (REPORT Table 21); a dash: not called there."""
    columns = [(disease.value, figure) for disease in DISEASES for figure in ("recall", "specificity")]
    rows = [
        (
            name,
            ", ".join(f"{disease} >= {threshold:.3g}" for disease, threshold in point["thresholds"].items()) or "most probable",
            number(point["accuracy"]),
            *(number(point["per_class"].get(disease, {}).get(figure)) for disease, figure in columns),
        )
        for name, point in metrics["operating_points"].items()
    ]
    return markdown_table(("operating point", "rule", "accuracy", *map(" ".join, columns)), rows)


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


def _stated(tally: Mapping[str, int]) -> str:
    if len(tally) == 1:
        return next(iter(tally))
    return "; ".join(f"{statement} ({films} films)" for statement, films in tally.items())
