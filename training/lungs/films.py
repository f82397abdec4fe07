"""Films with lung masks: read from a folder, and split into training and held-out films."""

import csv
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from service.film.arrays import GreyPixels
from service.film.errors import InputError
from service.film.film import Radiograph
from service.film.preprocessing import resize_stretched
from training.errors import DatasetError

HELD_OUT_SHARE = 0.2


@dataclass(frozen=True)
class LungFilm:
    """A film and its lung mask, stretched to a square like the classifier's films."""

    name: str  # path within the folder
    film: GreyPixels  # uint8 [S, S]
    mask: GreyPixels  # uint8 [S, S]: 1 in the lungs, else 0


def read_lung_films(folder: Path, side_px: int) -> list[LungFilm]:
    """Read the films and masks that manifest.csv lists (columns image, mask: paths within the folder), sorted by name.

    side_px: S of each film and mask. A mask is a grey picture, 0 outside the lungs. Raises DatasetError if the manifest, a
    film or a mask is missing or cannot be read.
    """
    manifest = folder / "manifest.csv"
    if not manifest.is_file():
        raise DatasetError(
            f"There is no {manifest}; it must list the films in the column image, their masks in the column mask."
        )
    with manifest.open(encoding="utf-8-sig", newline="") as lines:
        reader = csv.DictReader(lines)
        if not {"image", "mask"} <= set(reader.fieldnames or ()):
            raise DatasetError(f"{manifest} lacks the column image or mask; add both to its header line.")
        pairs = [(row["image"], row["mask"]) for row in reader]
    if not all(image and mask for image, mask in pairs):
        raise DatasetError(f"{manifest} must name an image and a mask in each line; add what is missing.")
    return [_read(folder, image, mask, side_px) for image, mask in sorted(pairs)]


def _read(folder: Path, image: str, mask: str, side_px: int) -> LungFilm:
    for name in (image, mask):
        if not (folder / name).is_file():
            raise DatasetError(
                f"{folder / 'manifest.csv'} names {name}, which is not there; restore the file or delete its line."
            )
    try:
        radiograph = Radiograph.from_bytes((folder / image).read_bytes())
    except InputError as fault:
        raise DatasetError(f"The film {folder / image} cannot be read: {fault}") from fault
    drawn = cv2.imdecode(np.frombuffer((folder / mask).read_bytes(), np.uint8), cv2.IMREAD_GRAYSCALE)
    if drawn is None:
        raise DatasetError(f"The mask {folder / mask} cannot be read; it must be a grey PNG, 0 outside the lungs.")
    lung_share = cv2.resize((drawn > 0).astype(np.float32), (side_px, side_px), interpolation=cv2.INTER_AREA)
    film = resize_stretched(radiograph.pixels, side_px)
    return LungFilm(name=image, film=film, mask=(lung_share > 0.5).astype(np.uint8))


def hold_out(films: list[LungFilm], seed: int) -> tuple[list[LungFilm], list[LungFilm]]:
    """(training films, held-out films): a random HELD_OUT_SHARE is held out, both in the order of `films`."""
    order = np.random.default_rng(seed).permutation(len(films))
    held_out = round(len(films) * HELD_OUT_SHARE)
    return [films[index] for index in sorted(order[held_out:])], [films[index] for index in sorted(order[:held_out])]
