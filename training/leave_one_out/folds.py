"""Folds: the source to judge, and the sources that the run that judges it leaves out."""

from collections.abc import Sequence
from dataclasses import dataclass

from service.model.bundle import sha256_of
from service.model.findings import Finding
from training.data.folder import FilmFile
from training.data.held_out import is_held_out, learns_nothing_of, without_held_out
from training.errors import DatasetError


@dataclass(frozen=True)
class Fold:
    """One source, judged by runs without it."""

    source: str  # films of it are judged, whatever their split
    held_out: str  # what the runs leave out, as data.held_out_source takes it

    def judged(self, films: Sequence[FilmFile]) -> list[FilmFile]:
        """The films of the source."""
        return [film for film in films if film.source == self.source]


def make_folds(films: Sequence[FilmFile], sources: Sequence[str] = (), one_hospital: Sequence[str] = ()) -> list[Fold]:
    """A fold for each source, in their order.

    films: of the whole data folder. sources: to judge; by default all that hold normal films and films of a disease, which is
    what it takes to tell disease from hospital. one_hospital: what is left out together, each as data.held_out_source takes it.
    Raises DatasetError for a source that cannot be judged or left out.
    """
    able = sorted(source for source in {film.source for film in films} if _has_normal_and_disease(films, source))
    if not able:
        raise DatasetError("No source holds both normal films and films of a disease; name the sources in manifest.csv.")
    if unknown := [source for source in sources if source not in able]:
        raise DatasetError(
            f"{unknown[0]!r} does not hold normal films and films of a disease; those that do: {', '.join(able)}."
        )
    folds = [Fold(source, _held_out(source, one_hospital)) for source in sources or able]
    for fold in folds:
        without_held_out(films, fold.held_out)
    return folds


def require_unseen(folds: Sequence[Fold], films: Sequence[FilmFile]) -> None:
    """Raises DatasetError if a film that a fold judges is the same file as one that its runs learn from.

    films: of the whole data folder. Each is read once.
    """
    digests = {film.relative: sha256_of(film.path) for film in films}
    for fold in folds:
        learnt = {digests[film.relative]: film for film in films if not is_held_out(film, fold.held_out)}
        for film in fold.judged(films):
            if copy := learnt.get(digests[film.relative]):
                raise DatasetError(
                    f"{film.relative} of the source {fold.source} is the same file as {copy.relative} of {copy.source}, from "
                    f"which the runs without {fold.held_out} learn: remove one of them, or leave the two sources out together "
                    f"(--one-hospital {fold.held_out},{copy.source})."
                )


def _has_normal_and_disease(films: Sequence[FilmFile], source: str) -> bool:
    return {film.finding is Finding.NORMAL for film in films if film.source == source} == {True, False}


def _held_out(source: str, one_hospital: Sequence[str]) -> str:
    return next((names for names in one_hospital if learns_nothing_of(source, names)), source)
