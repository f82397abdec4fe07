"""The files of an evaluation: report.md, report.html, metrics.json and predictions.csv. Computes nothing."""

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

from service.model.decision import Decision
from service.model.findings import FINDINGS
from training.evaluation.judging.films import JudgedSplit
from training.evaluation.part import Part
from training.evaluation.report.html_page import markdown_page
from training.evaluation.report.plots import CONFUSION_NAME, ROC_NAME, SOURCE_RECALL_NAME
from training.evaluation.report.tables import (
    INTERVAL_NOTE,
    SOURCE_NOTE,
    Values,
    class_table,
    confusion_table,
    data_table,
    headline_table,
    pair_table,
    source_table,
)
from training.tables import picture

METRICS_NAME = "metrics.json"
PREDICTIONS_NAME = "predictions.csv"
REPORT_NAME = "report.md"
PAGE_NAME = "report.html"


def summary(metrics: Values) -> str:
    """Headline, classes and sources as tables for a terminal."""
    bundle = metrics["bundle"]
    title = f"{bundle['name']} {bundle['version']}, {metrics['split']} split, {metrics['n']} films"
    return "\n\n".join([title, headline_table(metrics), class_table(metrics), source_table(metrics), *pair_table(metrics)])


def render_report(metrics: Values, parts: Sequence[Part]) -> str:
    """The whole report as Markdown, with links to the plots.

    metrics: the content of metrics.json. parts: all parts, in the order of the report.
    """
    return "\n\n".join([*_core(metrics), *_of_parts(metrics, parts), *_data(metrics)]) + "\n"


def write_report(markdown: str, out: Path) -> None:
    """Write report.md and report.html into `out`. The plots that the Markdown names must exist; report.html embeds them."""
    (out / REPORT_NAME).write_text(markdown, encoding="utf-8")
    (out / PAGE_NAME).write_text(markdown_page(markdown, out), encoding="utf-8")


def write_predictions(split: JudgedSplit, decisions: Sequence[Decision], path: Path) -> None:
    """Write a CSV with one row a judged film: path, label, source, group, a probability for each finding, predicted, flags.

    decisions: the service's, in the order of `split.judged`. predicted: the most probable finding. flags: the reasons for
    review, separated by spaces.
    """
    predicted = split.judgements().predicted
    with path.open("w", encoding="utf-8", newline="") as stream:
        rows = csv.writer(stream, lineterminator="\n")
        rows.writerow(["path", "label", "source", "group", *(finding.value for finding in FINDINGS), "predicted", "flags"])
        for judged, call, decision in zip(split.judged, predicted, decisions, strict=True):
            film = judged.film
            probabilities = (f"{value:.6f}" for value in judged.probabilities)
            identity = (film.relative, film.finding.value, film.source, film.group or "")
            rows.writerow([*identity, *probabilities, FINDINGS[call].value, " ".join(decision.review_reasons)])


def _core(metrics: Values) -> Iterator[str]:
    bundle = metrics["bundle"]
    yield f"# Evaluation of {bundle['name']} {bundle['version']} on the {metrics['split']} split"
    yield f"{metrics['n']} films of {metrics['groups']} patients or groups. In brackets: 95 % bootstrap intervals over groups."
    yield INTERVAL_NOTE
    yield f"```\n{metrics['command']}\n```"
    yield "## At a glance"
    yield headline_table(metrics)
    yield "## Classes"
    yield "Each class against the others; recall is sensitivity."
    yield class_table(metrics)
    yield "### Confusion matrix"
    yield confusion_table(metrics)
    yield picture("Confusion matrix", CONFUSION_NAME)
    yield picture("ROC curves", ROC_NAME)
    yield "## Sources"
    yield SOURCE_NOTE
    yield source_table(metrics)
    yield picture("Recall by source", SOURCE_RECALL_NAME)
    yield from pair_table(metrics)


def _of_parts(metrics: Values, parts: Sequence[Part]) -> Iterator[str]:
    for part in parts:
        yield f"## {part.title}"
        if part.name in metrics:
            yield part.describe(metrics[part.name])
        else:
            yield f"Not measured: {metrics['not_measured'][part.name]}."


def _data(metrics: Values) -> Iterator[str]:
    yield "## Data"
    yield "Films of the data folder by source, class and split."
    yield data_table(metrics["data"])
    yield "### Refused films"
    yield "\n".join(f"- {reason}: {', '.join(films)}" for reason, films in metrics["refused"].items()) or "None."
