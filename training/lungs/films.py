"""Films with lung masks: read from a folder, a fifth held out."""

import csv
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from service.film.arrays import GreyPixels
from service.film.film import Radiograph
from service.film.preprocessing import resize_stretched
from training.errors import DatasetError

HELD_OUT_SHARE = 0.2


@dataclass(frozen=True)
class LungFilm:
    """A film and its lung mask, stretched to a square like the classifier's films."""

    name: str  # of the film's file
    film: GreyPixels  # uint8 [S, S]
    mask: GreyPixels  # uint8 [S, S], 0 or 1


def read_lung_films(folder: Path, side_px: int) -> list[LungFilm]:
    """Read manifest.csv (columns image, mask: paths within the folder) and what it names, sorted by name.

    Raises DatasetError for a missing manifest, file or mask.
    """
    manifest = folder / "manifest.csv"
    if not manifest.is_file():
        raise DatasetError(
            f"No {manifest}: lung films are a folder with manifest.csv, whose columns image and mask name files."
        )
    with manifest.open(encoding="utf-8-sig", newline="") as lines:
        reader = csv.DictReader(lines)
        if not {"image", "mask"} <= set(reader.fieldnames or ()):
            raise DatasetError(f"{manifest} lacks the column image or mask; add both to its header line.")
        rows = sorted((row["image"], row["mask"]) for row in reader)
    return [_read(folder, image, mask, side_px) for image, mask in rows]


def _read(folder: Path, image: str, mask: str, side_px: int) -> LungFilm:
    for name in (image, mask):
        if not (folder / name).is_file():
            raise DatasetError(f"{folder / 'manifest.csv'} names {name}, which does not exist.")
    film = resize_stretched(Radiograph.from_bytes((folder / image).read_bytes()).pixels, side_px)
    drawn = cv2.imdecode(np.frombuffer((folder / mask).read_bytes(), np.uint8), cv2.IMREAD_GRAYSCALE)
    if drawn is None:
        raise DatasetError(f"The mask {folder / mask} cannot be read; it must be a grey PNG, 0 outside the lungs.")
    covered = cv2.resize((drawn > 0).astype(np.float32), (side_px, side_px), interpolation=cv2.INTER_AREA)
    return LungFilm(name=image, film=film, mask=(covered > 0.5).astype(np.uint8))


def hold_out(films: list[LungFilm], seed: int) -> tuple[list[LungFilm], list[LungFilm]]:
    """(training films, held-out fifth), drawn by the seed from the sorted names."""
    order = np.random.default_rng(seed).permutation(len(films))
    held_out = round(len(films) * HELD_OUT_SHARE)
    return [films[index] for index in sorted(order[held_out:])], [films[index] for index in sorted(order[:held_out])]
