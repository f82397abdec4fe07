"""A synthetic hospital, to try commissioning without a film of any patient.

Its films are phantoms. No hospital of the training data exposes films like them, so that the released model fails here and a
profile has something to learn. The exposure does not depend on the class.
"""

import csv
from pathlib import Path

import cv2
import numpy as np

from export.phantom import phantom_film
from service.film.arrays import GreyPixels
from service.model.findings import FINDINGS, Finding
from training.commissioning.films.labels import LABEL, LABELS_NAME, PATH, PATIENT
from training.errors import DatasetError

NAME = "demo"

_SIDE_PX = 256
_FILMS_OF_A_CLASS = 40
_UNLABELLED_FILMS = 100

# Of the films without a label: mostly normal, as in a real stream of films.
_SHARES = (0.7, 0.2, 0.1)


def write_hospital(folder: Path, seed: int = 0) -> None:
    """Write films with labels.csv, films without a label, a damaged file and a copy into a new folder.

    Raises DatasetError if the folder exists.
    """
    try:
        folder.mkdir(parents=True)
    except FileExistsError as fault:
        raise DatasetError(f"{folder} exists; give a new folder.") from fault
    rng = np.random.default_rng(seed)
    rows: list[tuple[str, str, str]] = []
    for finding in FINDINGS:
        for index in range(_FILMS_OF_A_CLASS):
            # Every fourth patient has two films.
            patient = f"{finding[0]}{index - (index % 4 == 1):03}"
            rows.append((_write(folder / "study" / f"{len(rows):03}.png", finding, rng), finding.value, patient))
    for index in range(_UNLABELLED_FILMS):
        finding = FINDINGS[int(rng.choice(len(FINDINGS), p=_SHARES))]
        _write(folder / "archive" / f"{index:03}.png", finding, rng)
    (folder / "archive" / "copy.png").write_bytes((folder / "archive" / "000.png").read_bytes())
    (folder / "archive" / "damaged.png").write_bytes((folder / "archive" / "001.png").read_bytes()[:2000])
    with (folder / LABELS_NAME).open("w", encoding="utf-8", newline="") as stream:
        table = csv.writer(stream, lineterminator="\n")
        table.writerow((PATH, LABEL, PATIENT))
        table.writerows(rows)


def _write(path: Path, finding: Finding, rng: np.random.Generator) -> str:
    """Write one film; returns its path as labels.csv has it."""
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(cv2.imencode(".png", _film(finding, rng))[1].tobytes())
    return f"{path.parent.name}/{path.name}"


def _film(finding: Finding, rng: np.random.Generator) -> GreyPixels:
    """A phantom of this hospital, darker than usual, with random strength of disease, framing and exposure."""
    seed = int(rng.integers(1 << 30))
    strength = rng.uniform(0.15, 0.9)
    healthy, diseased = (phantom_film(each, seed, _SIDE_PX).astype(np.float32) for each in (Finding.NORMAL, finding))
    film = (1 - strength) * healthy + strength * diseased
    zoom, angle = rng.uniform(0.95, 1.2), rng.uniform(-5, 5)
    shift = np.zeros((2, 3))
    shift[:, 2] = rng.uniform(-12, 12, 2)
    turn = cv2.getRotationMatrix2D((_SIDE_PX / 2, _SIDE_PX / 2), angle, zoom) + shift
    framed = cv2.warpAffine(film, turn, (_SIDE_PX, _SIDE_PX), borderMode=cv2.BORDER_REPLICATE)
    exposed = 255 * (framed / 255) ** rng.uniform(0.9, 1.9) * rng.uniform(0.65, 1.0)
    noisy = exposed + rng.normal(0, rng.uniform(2, 8), exposed.shape)
    return np.asarray(np.clip(noisy + 0.5, 0, 255), dtype=np.uint8)
