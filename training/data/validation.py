"""Validates a data folder before training: reads every film once, excludes damaged ones, finds duplicates and leaks."""

import hashlib
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations

import numpy as np

from service.film.errors import AspectRatioTooExtreme, ImageTooLarge, ImageTooSmall, InputError
from service.film.film import Radiograph
from training.data.duplicates import Hash, close_pairs, difference_hash, thumbnail
from training.data.folder import FilmFile, fingerprint
from training.data.parallel import each_of
from training.data.validation_report import ExcludedFilm, FilmPair, Link, Reason, ValidationLimits, ValidationReport

_DECODE_SIDE_PX = 256  # ample for a 17 x 16 thumbnail; JPEG files are still read to their end, which shows damage

_REASONS: tuple[tuple[type[InputError], Reason], ...] = (
    (ImageTooSmall, Reason.TOO_SMALL),
    (ImageTooLarge, Reason.TOO_LARGE),
    (AspectRatioTooExtreme, Reason.ASPECT_RATIO),
    (InputError, Reason.UNREADABLE),
)


@dataclass(frozen=True)
class _Decoded:
    """A film that can be read."""

    film: FilmFile  # the file
    sha256: str  # of its bytes, hex
    hash: Hash | None  # difference hash; None for a nearly constant film


@dataclass(frozen=True)
class _Refused:
    """A film that cannot be read."""

    excluded: ExcludedFilm  # the film and the reason
    sha256: str  # of its bytes, hex; "" if the file cannot be opened


def validate_dataset(
    films: Sequence[FilmFile], *, threads: int | None = None, limits: ValidationLimits | None = None
) -> ValidationReport:
    """Read every film once, with one thread per core unless told otherwise, and report on the whole.

    Faults of the data raise nothing: write the report first, then call its require_trainable().
    """
    limits = limits or ValidationLimits()
    films = sorted(films, key=lambda film: film.relative)
    threads = threads or os.cpu_count() or 1
    seen = list(each_of(films, partial(_inspect, limits=limits), threads=threads, title="Validating films"))
    decoded = [film for film in seen if isinstance(film, _Decoded)]
    copies, pairs = _copies_in_one_split(decoded)
    left_out = {entry.film for entry in copies}
    kept = [entry for entry in decoded if entry.film not in left_out]
    excluded = [*(film.excluded for film in seen if isinstance(film, _Refused)), *copies]
    return ValidationReport(
        films=len(films),
        usable=tuple(entry.film for entry in kept),
        excluded=tuple(sorted(excluded, key=lambda entry: entry.film.relative)),
        pairs=(*pairs, *_copies_across_splits(kept), *_near_pairs(kept, limits), *_shared_groups(kept)),
        flat=tuple(entry.film for entry in kept if entry.hash is None),
        data_fingerprint=fingerprint((film.relative, entry.sha256) for film, entry in zip(films, seen, strict=True)),
        limits=limits,
    )


def _inspect(film: FilmFile, limits: ValidationLimits) -> _Decoded | _Refused:
    try:
        data = film.path.read_bytes()
    except OSError as fault:
        detail = f"The file cannot be opened ({fault.strerror}); check its permissions."
        return _Refused(ExcludedFilm(film, Reason.UNREADABLE, detail), "")
    sha256 = hashlib.sha256(data).hexdigest()
    try:
        pixels = Radiograph.from_bytes(data, decode_side_px=_DECODE_SIDE_PX, limits=limits.decode).pixels
    except InputError as fault:
        reason = next(reason for kind, reason in _REASONS if isinstance(fault, kind))
        return _Refused(ExcludedFilm(film, reason, str(fault)), sha256)
    small = thumbnail(pixels)
    is_flat = float(small.std()) < limits.flat_grey_levels
    return _Decoded(film, sha256, None if is_flat else difference_hash(small))


def _copies_in_one_split(decoded: Iterable[_Decoded]) -> tuple[list[ExcludedFilm], list[FilmPair]]:
    """Films to exclude, because a split has the same file twice, and the pairs of first and later copies."""
    groups: dict[tuple[str, str], list[FilmFile]] = defaultdict(list)
    for entry in decoded:
        groups[entry.sha256, entry.film.split].append(entry.film)
    excluded, pairs = [], []
    for first, *later in groups.values():
        pairs += [FilmPair(Link.EXACT, first, film, 0) for film in later]
        if all(film.finding is first.finding for film in later):
            detail = f"It is the same file as {first.relative}."
            excluded += [ExcludedFilm(film, Reason.DUPLICATE, detail) for film in later]
        else:
            # One of the labels is wrong, and nothing says which.
            detail = f"These are one file: {', '.join(film.relative for film in (first, *later))}."
            excluded += [ExcludedFilm(film, Reason.CONTRADICTION, detail) for film in (first, *later)]
    return excluded, pairs


def _copies_across_splits(kept: Iterable[_Decoded]) -> Iterator[FilmPair]:
    """Each kept film is the only copy in its split, so every pair of copies crosses splits."""
    copies: dict[str, list[FilmFile]] = defaultdict(list)
    for entry in kept:
        copies[entry.sha256].append(entry.film)
    for films in copies.values():
        for first, second in combinations(films, 2):
            yield FilmPair(Link.EXACT, first, second, 0)


def _near_pairs(kept: Iterable[_Decoded], limits: ValidationLimits) -> Iterator[FilmPair]:
    comparable = [entry for entry in kept if entry.hash is not None]
    if not comparable:
        return
    hashes = np.stack([entry.hash for entry in comparable if entry.hash is not None])
    for i, j, distance_bits in close_pairs(hashes, limits.near_duplicate_bits):
        if comparable[i].sha256 != comparable[j].sha256:
            yield FilmPair(Link.NEAR, comparable[i].film, comparable[j].film, distance_bits)


def _shared_groups(kept: Iterable[_Decoded]) -> Iterator[FilmPair]:
    """For each group and two splits that share it: the first film of either."""
    first_films: dict[str, dict[str, FilmFile]] = defaultdict(dict)
    for entry in kept:
        if entry.film.group is not None:
            first_films[entry.film.group].setdefault(entry.film.split, entry.film)
    for by_split in first_films.values():
        for first, second in combinations(by_split.values(), 2):
            yield FilmPair(Link.GROUP, first, second, None)
