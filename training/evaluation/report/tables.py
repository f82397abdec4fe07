"""Values of metrics.json as Markdown: cells, and the tables that report, model card and terminal share."""

from collections.abc import Mapping, Sequence
from typing import Any

from service.model.findings import FINDINGS
from training.data.folder import SPLITS
from training.evaluation.measures.bootstrap import without_intervals
from training.tables import UNDEFINED, markdown_table

# A level of metrics.json.
Values = Mapping[str, Any]

HEADLINE_LABELS = {
    "accuracy": "Accuracy",
    "macro_auc": "Macro AUC",
    "macro_f1": "Macro F1",
    "tuberculosis_recall": "Tuberculosis recall",
    "macro_ece": "Macro ECE",
}
_FROM_COUNTS = ("precision", "recall", "specificity", "f1")
_FROM_PROBABILITIES = {"auc": "AUC", "ece": "ECE"}

# The bound is the rule of three (Hanley & Lippman-Hand 1983).
INTERVAL_NOTE = (
    "An interval without width, such as 1.000 to 1.000, does not mean that the model makes no errors: if n films show none, "
    "the true error rate can still be up to 3/n."
)

SOURCE_NOTE = (
    "Good overall metrics can hide a source with bad ones. Where a source holds one class only, recognising the source is "
    "enough to be right."
)


def number(value: float | None) -> str:
    """Three decimals, or a dash for an undefined value."""
    return UNDEFINED if value is None else f"{value:.3f}"


def with_interval(level: Values, name: str) -> str:
    """One value of a level of metrics.json and its 95 % interval, "0.889 (0.870 to 0.908)", or a dash if it is undefined."""
    if level.get(name) is None:
        return UNDEFINED
    low, high = level["interval_95"][name]
    return f"{level[name]:.3f} ({low:.3f} to {high:.3f})"


def headline_table(metrics: Values) -> str:
    """The headline metrics."""
    rows = [(label, with_interval(metrics["headline"], name)) for name, label in HEADLINE_LABELS.items()]
    return markdown_table(("metric", "value (95 % interval)"), rows)


def class_table(metrics: Values) -> str:
    """One row a class, then macro and weighted means (REPORT Table 18)."""
    columns = (*_FROM_COUNTS, *_FROM_PROBABILITIES)
    rows = [
        (name, str(each["support"]), *(with_interval(each, metric) for metric in columns))
        for name, each in metrics["per_class"].items()
    ]
    for mean in ("macro", "weighted"):
        cells = (with_interval(metrics[mean], metric) for metric in columns)
        rows.append((f"{mean} mean", str(metrics["n"]), *cells))
    return markdown_table(("class", "films", *_FROM_COUNTS, *_FROM_PROBABILITIES.values()), rows)


def source_table(metrics: Values) -> str:
    """One row a source: accuracy, and recall of each class that it holds."""
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


def pair_table(metrics: Values) -> list[str]:
    """A title, and a table of the AUC of every two classes within one source; empty if no source holds two classes."""
    rows = [
        (source, pair, " / ".join(str(each["support"][name]) for name in pair.split(" vs ")), with_interval(each["auc"], pair))
        for source, each in metrics["per_source"].items()
        for pair in without_intervals(each.get("auc", {}))
    ]
    if not rows:
        return []
    title = "Within one source, between two classes (films of each in this order):"
    return [title, markdown_table(("source", "classes", "films", "AUC"), rows)]


def confusion_table(metrics: Values) -> str:
    """Counts of films, with true classes in rows and predicted classes in columns."""
    matrix = metrics["confusion_matrix"]
    rows = [(f"true {name}", *map(str, counts)) for name, counts in zip(matrix["findings"], matrix["counts"], strict=True)]
    return markdown_table(("", *(f"called {name}" for name in matrix["findings"])), rows)


def data_table(data: Values) -> str:
    """Films by source, class and split. data: as `provenance.summarise_data` returns it."""
    rows = [
        (source, finding, *(str(counts[split]) for split in SPLITS))
        for source, each in data.items()
        for finding, counts in each["counts"].items()
    ]
    return markdown_table(("source", "class", *SPLITS), rows)


def enumerated(words: Sequence[str]) -> str:
    """ "a", "a and b", "a, b and c"; at least one word."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
