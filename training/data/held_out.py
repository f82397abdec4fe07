"""The films that data.held_out_source leaves out of a run: comma-separated sources, or one finding of a source.

"rsna,rahman/Normal" names all films of rsna and the normal films of rahman, which are of the same hospital.
"""

from collections.abc import Iterable

from service.model.findings import FINDINGS
from training.data.folder import REQUIRED_SPLITS, FilmFile
from training.errors import DatasetError


def is_held_out(film: FilmFile, names: str) -> bool:
    """Whether `names` holds out the film; "" holds out none."""
    return any(film.source == source and finding in ("", film.finding) for source, finding in _named(names))


def learns_nothing_of(source: str, names: str) -> bool:
    """Whether `names` holds out all films of the source, not just one finding."""
    return (source, "") in _named(names)


def without_held_out(films: Iterable[FilmFile], names: str) -> list[FilmFile]:
    """The films that are not held out.

    Raises DatasetError if a name fits no film, or if train or val then lacks a finding.
    """
    films = list(films)
    for source, finding in _named(names):
        if not any(film.source == source and finding in ("", film.finding) for film in films):
            known = ", ".join(sorted({film.source for film in films}))
            what = f"films of {finding} of" if finding else "films of"
            raise DatasetError(f"There are no {what} the source {source!r} to hold out (data.held_out_source); known: {known}.")
    kept = [film for film in films if not is_held_out(film, names)]
    shown = {(film.split, film.finding) for film in kept}
    lost = [f"{finding} in {split}" for split in REQUIRED_SPLITS for finding in FINDINGS if (split, finding) not in shown]
    if names and lost:
        raise DatasetError(f"Without {names!r} there are no films of {', '.join(lost)}; hold out another source.")
    return kept


def _named(names: str) -> list[tuple[str, str]]:
    """(source, finding) of each name; the finding is "" for all findings."""
    pairs = (name.strip().partition("/") for name in names.split(","))
    return [(source, finding) for source, _, finding in pairs if source]
