"""Reads confirmed labels from the service's records, and finds their films in an archive by SHA-256."""

import csv
import subprocess
import sys
from collections.abc import Collection
from pathlib import Path

from tqdm import tqdm

from service.model.bundle import sha256_of
from training.data.folder import files_below
from training.errors import ConfigError, DatasetError


def write_labels(path: Path, since: str | None = None) -> Path:
    """Write the labels confirmed since a time (ISO 8601; None for all) as CSV, and return `path`. Raises ConfigError.

    Runs a command of the service, whose settings name the database: training does not import the service's records.
    """
    command = [sys.executable, "-m", "service.commands.cxr", "records", "labels", "--out", str(path)]
    if since is not None:
        command += ["--since", since]
    asked = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)  # noqa: S603 (our own command)
    if asked.returncode != 0:
        raise ConfigError(f"The confirmed labels cannot be read from the records: {asked.stderr.strip()}")
    return path


def read_labels(path: Path) -> dict[str, str]:
    """The labels that `cxr records labels` wrote, by SHA-256 of the film. For a film sent more than once, the last counts."""
    with path.open(newline="", encoding="utf-8") as stream:
        return {row["image_sha256"]: row["label"] for row in csv.DictReader(stream)}


def films_in(archive: Path, wanted: Collection[str]) -> tuple[dict[str, Path], list[Path]]:
    """The wanted files of an archive by SHA-256, of several copies the first by path; and its unreadable files.

    Raises DatasetError if there is no such folder.
    """
    if not archive.is_dir():
        raise no_archive(archive)
    found: dict[str, Path] = {}
    unreadable = []
    paths = list(files_below(archive)) if wanted else []
    for path in tqdm(paths, desc="looking through the archive", unit="file", disable=None):
        try:
            digest = sha256_of(path)
        except OSError:
            unreadable.append(path)
            continue
        if digest in wanted:
            found.setdefault(digest, path)
    return found, unreadable


def no_archive(archive: Path) -> DatasetError:
    """The error for an archive that does not exist."""
    return DatasetError(f"There is no archive folder {archive}; give the one that holds the films as they were sent.")
