"""Explore a data set before training: python -m training.exploration.explore --data DIR.

main() is the table of contents: scan, measure, validate, summarise, draw, write.
"""

import argparse
import csv
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from service.film.errors import ChestXrayError
from training.command_text import published_command
from training.data.folder import scan_folder
from training.data.validation import validate_dataset
from training.data.validation_report import ValidationReport
from training.errors import EmptyClass
from training.exploration.films import MeasuredFolder, Measures, measure_films
from training.exploration.plots import draw_figures
from training.exploration.report import FIGURES_FOLDER, appearance_table, class_table, render_report, variance_table
from training.exploration.statistics import count_films, summarise_appearance, summarise_sizes, variance_explained

REPORT_NAME = "report.md"
VALUES_NAME = "exploration.json"
FILMS_NAME = "films.csv"


def main(argv: Sequence[str] | None = None) -> int:
    """Explore one folder. Returns 0, or 1 with a message on stderr."""
    words = list(sys.argv[1:] if argv is None else argv)
    arguments = _parse(words)
    try:
        command = published_command("training.exploration.explore", words)
        values = explore(arguments.data, arguments.out, arguments.threads, command)
    except (ChestXrayError, OSError) as fault:
        print(f"{type(fault).__name__}: {fault}", file=sys.stderr)
        return 1
    measures = {"mean_intensity": "mean intensity", "contrast": "standard deviation", "edge_magnitude": "edge magnitude"}
    tables = (class_table(values["counts"]), appearance_table(values["appearance"], measures))
    print("\n\n".join([*tables, variance_table(values["variance_explained"])]))
    written = ", ".join((REPORT_NAME, VALUES_NAME, FILMS_NAME, f"{FIGURES_FOLDER}/"))
    print(f"\n{len(values['refused'])} films refused. Written to {arguments.out}: {written}")
    return 0


def explore(data: Path, out: Path, threads: int, command: str) -> dict[str, Any]:
    """Measure the films of `data`, write everything into `out` and return the values of exploration.json.

    command: what stands in the report as the command that made it. Raises DatasetError, EmptyClass if no film at all can be
    read, ConfigError for less than one thread, or OSError.
    """
    films = scan_folder(data)
    folder = measure_films(films, threads=threads)
    if not folder.films:
        raise EmptyClass(f"None of the {len(films)} files in {data} can be read as a film; check the folder.")
    quality = validate_dataset(films, workers=threads)
    values = _values(folder, quality, command)
    out.mkdir(parents=True, exist_ok=True)
    draw_figures(folder, out / FIGURES_FOLDER)
    _write_films(folder, out / FILMS_NAME)
    (out / REPORT_NAME).write_text(render_report(values, quality.table()), encoding="utf-8")
    (out / VALUES_NAME).write_text(json.dumps(values, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    return values


def _values(folder: MeasuredFolder, quality: ValidationReport, command: str) -> dict[str, Any]:
    return {
        "command": command,
        "data_fingerprint": quality.data_fingerprint,
        "counts": count_films(folder.films),
        "sizes": summarise_sizes(folder.films),
        "quality": {check.name: check.found for check in quality.checks()},
        "appearance": summarise_appearance(folder.films),
        "variance_explained": variance_explained(folder.films),
        "refused": [{"path": each.film.relative, "reason": each.reason, "detail": each.detail} for each in folder.refused],
    }


def _write_films(folder: MeasuredFolder, path: Path) -> None:
    """One row a film: path, split, label, source and its measurements."""
    with path.open("w", encoding="utf-8", newline="") as stream:
        rows = csv.writer(stream, lineterminator="\n")
        rows.writerow(["path", "split", "label", "source", *(field.name for field in fields(Measures))])
        for each in folder.films:
            film = each.film
            cells = (f"{value:.6g}" if isinstance(value, float) else value for value in asdict(each.measures).values())
            rows.writerow([film.relative, film.split, film.finding.value, film.source, *cells])


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m training.exploration.explore", description="Explore a data set of chest films."
    )
    parser.add_argument(
        "--data", type=Path, required=True, help="folder train|val|test/<class>/…, optionally with manifest.csv"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("reports/exploration"), help="folder of the results (default: %(default)s)"
    )
    parser.add_argument(
        "--threads", type=int, default=os.cpu_count() or 1, help="films read at the same time (default: one per core)"
    )
    return parser.parse_args(argv)


if __name__ == "__main__":
    raise SystemExit(main())
