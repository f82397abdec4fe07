"""Explores a data set before training: validate, measure, summarise, draw, write."""

import csv
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path

from training.command_text import command_line
from training.data.folder import scan_folder
from training.data.validation import validate_dataset
from training.errors import EmptyClass
from training.exploration.films import MeasuredFilm, Measures, measure_films
from training.exploration.plots import draw_plots
from training.exploration.report import render_report, summary
from training.tables import PLOTS_FOLDER


def explore(data: Path, out: Path, threads: int) -> str:
    """Measure the usable films of `data`, write report.md, films.csv and plots into `out`, and return a summary.

    threads: films measured at the same time. Raises DatasetError, EmptyClass if no film is usable, or OSError.
    """
    quality = validate_dataset(scan_folder(data), threads=threads)
    if not quality.usable:
        raise EmptyClass(f"None of the {quality.films} files in {data} is a usable film; check the folder.")
    films, mean_films = measure_films(quality.usable, threads=threads)
    out.mkdir(parents=True, exist_ok=True)
    draw_plots(films, mean_films, out / PLOTS_FOLDER)
    _write_films(films, out / "films.csv")
    report = render_report(films, quality, command_line("cxr explore", data=data, out=out))
    (out / "report.md").write_text(report, encoding="utf-8")
    return f"{summary(films)}\n\n{len(quality.excluded)} films left out, as report.md says."


def _write_films(films: Sequence[MeasuredFilm], path: Path) -> None:
    """One row a film: path, split, label, source and its measurements."""
    with path.open("w", encoding="utf-8", newline="") as stream:
        rows = csv.writer(stream, lineterminator="\n")
        rows.writerow(["path", "split", "label", "source", *(field.name for field in fields(Measures))])
        for each in films:
            film = each.film
            cells = (f"{value:.6g}" if isinstance(value, float) else value for value in asdict(each.measures).values())
            rows.writerow([film.relative, film.split, film.finding.value, film.source, *cells])
