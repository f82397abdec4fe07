"""Films with a confirmed label on record, found in the hospital's archive."""

import sys
import tempfile
from pathlib import Path

from service.model.findings import Finding
from training.commissioning.films.folder import FoundFilm, printable
from training.errors import DatasetError
from training.retraining.confirmed import films_in, no_archive, read_labels, write_labels


def feedback_films(archive: Path) -> tuple[FoundFilm, ...]:
    """The archive's films with a confirmed label in the records, and its unreadable files, without a label.

    Prints on stderr how many confirmed labels have a film.
    Raises ConfigError if the records cannot be read, and DatasetError without the archive or any film.
    """
    if not archive.is_dir():
        raise no_archive(archive)
    with tempfile.TemporaryDirectory() as scratch:
        labels = read_labels(write_labels(Path(scratch, "labels.csv")))
    found, unreadable = films_in(archive, labels)
    print(f"{len(labels)} confirmed labels on record, {len(found)} of their films in {archive}.", file=sys.stderr)
    if not found:
        raise DatasetError(
            f"{archive} holds no film with a confirmed label on record, and {len(unreadable)} files that cannot be read; give "
            "the folder with the films as they were sent, and the database of the records in CXR_DATABASE_URL."
        )
    findings = {path: Finding(labels[sha256]) for sha256, path in found.items()} | dict.fromkeys(unreadable)
    films = (FoundFilm(path, printable(path.relative_to(archive)), finding) for path, finding in findings.items())
    return tuple(sorted(films, key=lambda film: film.relative))
