"""Pictures that the service is asked about, chest films, other pictures and spoilt films, and what it flags of each."""

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from service.film.arrays import GreyPixels
from service.film.errors import InputError
from service.film.preprocessing import PreprocessSpec, decode
from service.model.decision import FILM_REASONS, Decision, Observed, decide, unusual_aspects
from service.model.manifest import ModelManifest
from service.model.model import Model
from training.data.folder import MANIFEST_NAME, FilmFile
from training.errors import DatasetError
from training.evaluation.judging.films import JudgedSplit

# Flags beside those of the image statistics: by the embedding's score, by the service's refusal, and by any rule at all.
SCORE, REFUSED, ANYTHING = "score", "refused", "anything"

# The standard error of a share of 5 or 95 % is then 1.5 percentage points, and the four faults take seconds.
FAULTED_FILMS = 200


def _blanked(film: GreyPixels) -> GreyPixels:
    mean = film.mean()
    return (mean + (film - mean) / 20).astype(np.uint8)


# What happens to films before they reach a server: inverted polarity, an exposure that leaves almost no contrast, the colour
# cast of a lamp on a photographed film, and a film on its side.
FAULTS: Mapping[str, Callable[[GreyPixels], npt.NDArray[np.uint8]]] = {
    "inverted": lambda film: 255 - film,
    "blanked": _blanked,
    "tinted": lambda film: (film[:, :, None] * np.array([0.6, 0.8, 1.0])).astype(np.uint8),
    "rotated by 90 degrees": np.rot90,
}


@dataclass(frozen=True)
class Picture:
    """A picture to ask the service about."""

    name: str  # path within its folder
    categories: Mapping[str, str]  # what shares are counted by, such as {"class": "Normal", "source": "shenzhen"}
    read: Callable[[], bytes]  # the encoded picture


@dataclass(frozen=True)
class Answered:
    """What the service flags of a picture; name and categories are those of the picture."""

    name: str
    categories: Mapping[str, str]
    flags: frozenset[str]  # SCORE, REFUSED, ANYTHING and names of image statistics
    score: float | None  # of the embedding; None for a refused picture
    refusal: str | None = None  # the error class of a refused picture, else None


def answers_of_films(split: JudgedSplit, manifest: ModelManifest) -> list[Answered]:
    """What the service flags of the films of a judged split, refused ones last."""
    answers = []
    for judged in split.judged:
        decision = decide(judged.probabilities.tolist(), manifest, observed=judged.observed)
        answers.append(_answered(judged.film.relative, _categories(judged.film), judged.observed, decision, manifest))
    return answers + [_refused(each.film.relative, _categories(each.film), each.reason) for each in split.refused]


def ask(model: Model, picture: Picture) -> Answered:
    """Have the model judge a picture as the service would."""
    try:
        prediction = model.predict(picture.read())
    except InputError as fault:
        return _refused(picture.name, picture.categories, type(fault).__name__)
    return _answered(picture.name, picture.categories, prediction.observed, prediction, model.manifest)


def pictures_of_folder(folder: Path) -> list[Picture]:
    """The pictures that manifest.csv of a folder lists (columns path, kind). Raises DatasetError if it cannot be used."""
    manifest = folder / MANIFEST_NAME
    try:
        with manifest.open(encoding="utf-8-sig", newline="") as lines:
            rows = list(csv.DictReader(lines, strict=True))
    except (OSError, UnicodeDecodeError, csv.Error) as fault:
        raise DatasetError(f"{manifest} cannot be read as CSV in UTF-8 ({fault}); it must list the pictures.") from fault
    if not rows or any(not row.get(column) for row in rows for column in ("path", "kind")):
        raise DatasetError(f"{manifest} must have a path and a kind for each picture; add what is missing.")
    for row in rows:
        if not (folder / row["path"]).is_file():
            raise DatasetError(f"{manifest} names {row['path']}, which is not there; restore the picture or delete its line.")
    return [Picture(row["path"], {"kind": row["kind"]}, (folder / row["path"]).read_bytes) for row in rows]


def spoilt_films(films: Sequence[FilmFile], spec: PreprocessSpec, seed: int) -> list[Picture]:
    """Each fault applied to the same FAULTED_FILMS films, drawn by the seed, or to all if there are fewer."""
    count = min(FAULTED_FILMS, len(films))
    chosen = sorted(np.random.default_rng(seed).choice(len(films), size=count, replace=False))

    def picture(film: FilmFile, fault: str) -> Picture:
        def read() -> bytes:
            pixels = FAULTS[fault](decode(film.path.read_bytes(), spec).pixels)
            return cv2.imencode(".png", np.ascontiguousarray(pixels))[1].tobytes()

        return Picture(film.relative, {"fault": fault}, read)

    return [picture(films[index], fault) for fault in FAULTS for index in chosen]


def _categories(film: FilmFile) -> dict[str, str]:
    return {"class": film.finding.value, "source": film.source}


def _refused(name: str, categories: Mapping[str, str], reason: str) -> Answered:
    return Answered(name, categories, frozenset({REFUSED, ANYTHING}), None, reason)


def _answered(
    name: str, categories: Mapping[str, str], observed: Observed, decision: Decision, manifest: ModelManifest
) -> Answered:
    """The flags that each measure would raise alone, and ANYTHING if the decision flags the picture."""
    alone: dict[str, Observed] = {statistic: Observed(image={statistic: value}) for statistic, value in observed.image.items()}
    measures = {SCORE: Observed(outlier_score=observed.outlier_score), **alone}
    flags = {measure for measure, seen in measures.items() if manifest.outliers and unusual_aspects(seen, manifest.outliers)}
    if set(FILM_REASONS) & set(decision.review_reasons):
        flags.add(ANYTHING)
    return Answered(name, categories, frozenset(flags), observed.outlier_score)
