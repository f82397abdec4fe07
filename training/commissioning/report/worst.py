"""Files for people at the site, since they show or name films: the worst films with Grad-CAM, and the films left out."""

import csv
from pathlib import Path

from tqdm import tqdm

from service.film.preprocessing import decode
from service.model.findings import FINDINGS
from service.model.model import Model
from training.commissioning.cases import Acceptance
from training.commissioning.films.read import LeftOutFilm, ReadFilm
from training.commissioning.report.outcome import called
from training.evaluation.measures.confusion import Floats
from training.evaluation.report.local_page import film_figure, write_local_page

WORST_NAME = "worst.html"
LEFT_OUT_NAME = "left_out.csv"

# A person looks at no more in one sitting. Each takes a tenth of a second to explain.
_WORST_FILMS = 40


def write_worst_films(path: Path, films: tuple[ReadFilm, ...], acceptance: Acceptance, model: Model) -> None:
    """Write a page of the misclassified films, most confident first.

    films: the labelled ones, in the order of the acceptance's arrays. model: the bundle with the profile, if there is one. It
    makes the Grad-CAM maps, while findings and probabilities come from cross-validation.
    """
    rows = list(zip(films, acceptance.probabilities_before, acceptance.probabilities_after, strict=True))
    wrong = [row for row in rows if called(row[2]) is not row[0].film.finding]
    wrong.sort(key=lambda row: -row[2].max())
    write_local_page(
        path,
        "The worst films",
        f"{min(len(wrong), _WORST_FILMS)} of the {len(wrong)} films that are called wrongly, most confident first. Left: the "
        "film. Right: what speaks for the finding that it was called (Grad-CAM, red is strongest).",
        (
            _figure(film, before, after, model)
            for film, before, after in tqdm(wrong[:_WORST_FILMS], desc="Explaining the worst films", unit="film", disable=None)
        ),
    )


def _figure(film: ReadFilm, before: Floats, after: Floats, model: Model) -> str:
    data = film.film.path.read_bytes()
    finding = called(after)
    _, explanation = model.explain(data, finding)
    pixels = model.upright(decode(data, model.manifest.preprocess)).pixels
    caption = (
        f"<b>{film.film.finding}</b> called <b>{finding}</b>, {after.max():.3f}",
        f"before: {_probabilities(before)}",
        f"after: {_probabilities(after)}",
    )
    return film_figure(pixels, explanation.overlay_png, finding.value, caption, film.film.relative)


def _probabilities(row: Floats) -> str:
    return ", ".join(f"{finding} {value:.3f}" for finding, value in zip(FINDINGS, row, strict=True))


def write_left_out(path: Path, films: tuple[LeftOutFilm, ...]) -> None:
    """Write one row for each film that is not used: its path, the kind of reason, and the reason in words."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as stream:
        rows = csv.writer(stream, lineterminator="\n")
        rows.writerow(["path", "reason", "detail"])
        rows.writerows((each.film.relative, each.reason, each.detail) for each in films)
