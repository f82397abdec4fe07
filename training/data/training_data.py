"""The films of a data folder that a configuration trains on and validates with."""

from dataclasses import dataclass
from pathlib import Path

from training.config import DataConfig
from training.data.folder import FilmFile, scan_folder
from training.data.held_out import without_held_out
from training.data.validation import validate_dataset


@dataclass(frozen=True)
class TrainingData:
    """Usable films, without those held out."""

    train: list[FilmFile]  # of the training split, sorted by path
    val: list[FilmFile]  # of the validation split, sorted by path
    data_fingerprint: str  # of all files in the folder; see `ValidationReport`
    sources_fingerprint: str  # of what manifest.csv says of them


def read_training_data(
    folder: Path, config: DataConfig, *, threads: int | None = None, report_to: Path | None = None
) -> TrainingData:
    """Validate the folder (REPORT Table 4), and leave out what the configuration holds out.

    threads: number that read films; None is one per core. report_to: print the report, and write it into this folder.
    Raises DatasetError or a subclass if the folder must not be trained on, or lacks a film to hold out.
    """
    report = validate_dataset(scan_folder(folder), threads=threads, near_duplicate_bits=config.near_duplicate_bits)
    if report_to is not None:
        report.write(report_to)
        print(report.table(), flush=True)
    report.require_trainable()
    kept = without_held_out(report.usable, config.held_out_source)
    train, val = ([film for film in kept if film.split == split] for split in ("train", "val"))
    return TrainingData(train, val, report.data_fingerprint, report.sources_fingerprint)
