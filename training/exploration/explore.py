"""Explores a data set before training: scan, measure, validate, summarise, draw, write."""

import csv
import json
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from training.command_text import command_line
from training.data.folder import scan_folder
from training.data.validation import validate_dataset
from training.errors import EmptyClass
from training.exploration.films import MeasuredFolder, Measures, measure_films
from training.exploration.plots import draw_plots
from training.exploration.report import render_report
from training.exploration.statistics import count_films, summarise_appearance, summarise_sizes, variance_explained
from training.tables import PLOTS_FOLDER


def explore(data: Path, out: Path, threads: int) -> dict[str, Any]:
    """Measure the films of `data`, write report, plots and values into `out`, and return the values.

    Raises DatasetError, EmptyClass if no film can be read, ConfigError for less than one thread, or OSError.
    """
    films = scan_folder(data)
    folder = measure_films(films, threads=threads)
    if not folder.films:
        raise EmptyClass(f"None of the {len(films)} files in {data} can be read as a film; check the folder.")
    quality = validate_dataset(films, threads=threads)
    values = {
        "command": command_line("cxr explore", data=data, out=out),
        "data_fingerprint": quality.data_fingerprint,
        "counts": count_films(folder.films),
        "sizes": summarise_sizes(folder.films),
        "quality": {check.name: check.found for check in quality.checks()},
        "appearance": summarise_appearance(folder.films),
        "variance_explained": variance_explained(folder.films),
        "refused": [{"path": each.film.relative, "reason": each.reason, "detail": each.detail} for each in folder.refused],
    }
    out.mkdir(parents=True, exist_ok=True)
    draw_plots(folder, out / PLOTS_FOLDER)
    _write_films(folder, out / "films.csv")
    (out / "report.md").write_text(render_report(values, quality.table()), encoding="utf-8")
    (out / "exploration.json").write_text(json.dumps(values, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    return values


def _write_films(folder: MeasuredFolder, path: Path) -> None:
    """One row a film: path, split, label, source and its measurements."""
    with path.open("w", encoding="utf-8", newline="") as stream:
        rows = csv.writer(stream, lineterminator="\n")
        rows.writerow(["path", "split", "label", "source", *(field.name for field in fields(Measures))])
        for each in folder.films:
            film = each.film
            cells = (f"{value:.6g}" if isinstance(value, float) else value for value in asdict(each.measures).values())
            rows.writerow([film.relative, film.split, film.finding.value, film.source, *cells])
