"""Data folders for validation, and what is put into them."""

from pathlib import Path

import cv2
import numpy as np

from service.model.findings import Finding
from training.data.folder import scan_folder
from training.data.validation import validate_dataset
from training.data.validation_report import ValidationReport

# Phantoms share one anatomy, and some lie only 4 bits apart; their re-encoded copies lie closer.
NEAR_DUPLICATE_BITS = 3


def validate(folder: Path, near_duplicate_bits: int = NEAR_DUPLICATE_BITS, threads: int = 2) -> ValidationReport:
    return validate_dataset(scan_folder(folder), threads=threads, near_duplicate_bits=near_duplicate_bits)


def films_of(folder: Path, split: str, finding: Finding) -> list[Path]:
    return sorted((folder / split / finding).iterdir())


def encode(pixels: np.ndarray, extension: str = ".png") -> bytes:
    return cv2.imencode(extension, pixels)[1].tobytes()


def save_as_jpeg(source: Path, target: Path) -> None:
    """The same picture, other bytes: what a second export of one film looks like."""
    target.write_bytes(encode(cv2.imread(str(source), cv2.IMREAD_GRAYSCALE), ".jpg"))
