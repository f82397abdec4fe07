"""The written results of one evaluation: report.md, metrics.json and predictions.csv. Formats and files, no computation."""

import csv
import json
from pathlib import Path
from typing import Any

from service.contract.findings import FINDINGS
from training.evaluation.figures import CONFUSION_NAME, RELIABILITY_NAME, ROC_NAME
from training.evaluation.judging import JudgedSplit
from training.evaluation.tables import (
    Figures,
    calibration_table,
    class_table,
    confusion_table,
    headline_table,
    operating_point_table,
    pair_table,
    source_table,
)

METRICS_NAME = "metrics.json"
PREDICTIONS_NAME = "predictions.csv"
REPORT_NAME = "report.md"
FIGURES_FOLDER = "figures"


def summary(metrics: Figures) -> str:
    """What a person wants to see first: headline, classes, sources; for the terminal and the head of the report."""
    parts = [headline_table(metrics), class_table(metrics), source_table(metrics)]
    if any(each.get("auc") for each in metrics["per_source"].values()):
        parts.append(pair_table(metrics))
    return "\n\n".join(parts)


def render_report(metrics: Figures) -> str:
    """The whole evaluation as Markdown; pictures are linked relative to the report."""
    bundle = metrics["bundle"]
    parts = [
        f"# Evaluation of {bundle['name']} {bundle['version']} on the {metrics['split']} split",
        f"{metrics['n']} films of {metrics['groups']} patients or groups. In brackets: 95 % bootstrap intervals over groups.",
        f"```\n{metrics['command']}\n```",
        summary(metrics),
        "## Confusion matrix",
        confusion_table(metrics),
        _picture("Confusion matrix", CONFUSION_NAME),
        "## Ranking",
        _picture("ROC curves", ROC_NAME),
        "## Calibration",
        calibration_table(metrics),
        _picture("Reliability diagrams", RELIABILITY_NAME),
        "## Operating points",
        operating_point_table(metrics),
        "## Refused films",
        _refused(metrics["refused"]),
    ]
    return "\n\n".join(parts) + "\n"


def write_metrics(metrics: dict[str, Any], path: Path) -> None:
    """As JSON; raises ValueError on a number that JSON has not."""
    path.write_text(json.dumps(metrics, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def write_predictions(split: JudgedSplit, path: Path) -> None:
    """One row a judged film: path, label, source, group, one probability a finding, predicted."""
    predicted = split.judgements().predicted
    with path.open("w", encoding="utf-8", newline="") as stream:
        rows = csv.writer(stream, lineterminator="\n")
        rows.writerow(["path", "label", "source", "group", *(finding.value for finding in FINDINGS), "predicted"])
        for judged, call in zip(split.judged, predicted, strict=True):
            film = judged.film
            probabilities = (f"{value:.6f}" for value in judged.probabilities)
            rows.writerow(
                [film.relative, film.finding.value, film.source, film.group or "", *probabilities, FINDINGS[call].value]
            )


def _picture(title: str, name: str) -> str:
    return f"![{title}]({FIGURES_FOLDER}/{name})"


def _refused(refused: Figures) -> str:
    return "\n".join(f"- {reason}: {', '.join(films)}" for reason, films in refused.items()) or "None."
