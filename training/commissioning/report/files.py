"""Writes the files of a report: metrics.json, report.md, report.html, plots, and the folder local/."""

from pathlib import Path

import numpy as np

from service.files import write_json
from service.model.findings import FINDINGS
from service.model.model import Model
from training.commissioning.report.outcome import Outcome
from training.commissioning.report.plots import draw_plots
from training.commissioning.report.text import render_report
from training.commissioning.report.worst import LEFT_OUT_NAME, WORST_NAME, write_left_out, write_worst_films
from training.evaluation.report.files import METRICS_NAME, PAGE_NAME, REPORT_NAME
from training.evaluation.report.html_page import markdown_page
from training.evaluation.report.local_page import LOCAL_FOLDER
from training.tables import PLOTS_FOLDER


def write_report(outcome: Outcome, model: Model, out: Path) -> None:
    """Write all files into an existing folder. model: the bundle with the profile, if there is one."""
    metrics = outcome.members()
    if outcome.acceptance:
        labels = np.array([FINDINGS.index(each.film.finding) for each in outcome.labelled_films if each.film.finding])
        draw_plots(outcome.acceptance, labels, out / PLOTS_FOLDER)
        write_worst_films(out / LOCAL_FOLDER / WORST_NAME, outcome.labelled_films, outcome.acceptance, model)
    if outcome.films.left_out:
        write_left_out(out / LOCAL_FOLDER / LEFT_OUT_NAME, outcome.films.left_out)
    markdown = render_report(metrics)
    (out / REPORT_NAME).write_text(markdown, encoding="utf-8")
    (out / PAGE_NAME).write_text(markdown_page(markdown, out), encoding="utf-8")
    # Last, so that a metrics.json stands for a complete report.
    write_json(out / METRICS_NAME, metrics)
