"""Validates a data folder before training: reads every film once, excludes damaged ones, finds duplicates and leaks."""

import hashlib
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from service.film.errors import AspectRatioTooExtreme, ImageTooLarge, ImageTooSmall, InputError
from service.film.film import Radiograph
from training.config import DataConfig
from training.data.duplicates import HASH_BITS, Hash, close_pairs, difference_hash, thumbnail
from training.data.folder import FilmFile, fingerprint
from training.data.parallel import each_of
from training.data.validation_report import ExcludedFilm, FilmPair, Link, Reason, ValidationReport
from training.errors import ConfigError

# A film whose thumbnail has a smaller standard deviation is nearly constant (blank, or all collimator). The smallest one in
# 4,700 films of six public collections is 13.8.
_FLAT_GREY_LEVELS = 4.0

_DECODE_SIDE_PX = 256  # ample for a thumbnail of 17 x 16; JPEG files are still read to their end, so that damage is found

_REASONS: tuple[tuple[type[InputError], Reason], ...] = (
    (ImageTooSmall, Reason.TOO_SMALL),
    (ImageTooLarge, Reason.TOO_LARGE),
    (AspectRatioTooExtreme, Reason.ASPECT_RATIO),
    (InputError, Reason.UNREADABLE),
)


@dataclass(frozen=True)
class _Inspected:
    """A film after `_inspect`."""

    film: FilmFile
    sha256: str  # of its bytes, hex; "" if the file cannot be opened
    hash: Hash | None = None  # difference hash; None for a film that is excluded or nearly constant
    excluded: ExcludedFilm | None = None  # the reason if it cannot be read


def validate_dataset(
    films: Sequence[FilmFile], *, threads: int | None = None, near_duplicate_bits: int = DataConfig.near_duplicate_bits
) -> ValidationReport:
    """Read every film once, with one thread per core unless told otherwise, and report on the whole.

    near_duplicate_bits: largest Hamming distance, of 256 bits, at which two films are near duplicates. In 4,700 films of six
        public collections, copies differ by 0 to 11 bits, and the most similar films of two patients by 15 to 16. Among many
        more films, two patients may be more similar, and 11 may fit better. Raises ConfigError outside of 0 to 255.

    Faults of the data raise nothing: write the report first, then call its require_trainable().
    """
    if not 0 <= near_duplicate_bits < HASH_BITS:
        raise ConfigError(f"near_duplicate_bits is {near_duplicate_bits}; it must lie in 0 to {HASH_BITS - 1}.")
    films = sorted(films, key=lambda film: film.relative)
    inspected = list(each_of(films, _inspect, threads=threads or os.cpu_count() or 1, title="Validating films"))
    copies, pairs = _copies_in_one_split(entry for entry in inspected if entry.excluded is None)
    excluded = [*(entry.excluded for entry in inspected if entry.excluded is not None), *copies]
    left_out = {entry.film for entry in excluded}
    kept = [entry for entry in inspected if entry.film not in left_out]
    exact = _pairs_across_splits(kept, Link.EXACT, lambda entry: entry.sha256)
    groups = _pairs_across_splits(kept, Link.GROUP, lambda entry: entry.film.group)
    return ValidationReport(
        films=len(films),
        usable=tuple(entry.film for entry in kept),
        excluded=tuple(sorted(excluded, key=lambda entry: entry.film.relative)),
        pairs=(*pairs, *exact, *_near_pairs(kept, near_duplicate_bits), *groups),
        flat=tuple(entry.film for entry in kept if entry.hash is None),
        data_fingerprint=fingerprint((entry.film.relative, entry.sha256) for entry in inspected),
        near_duplicate_bits=near_duplicate_bits,
    )


def _inspect(film: FilmFile) -> _Inspected:
    try:
        data = film.path.read_bytes()
    except OSError as fault:
        detail = f"The file cannot be opened ({fault.strerror}); check its permissions."
        return _Inspected(film, "", excluded=ExcludedFilm(film, Reason.UNREADABLE, detail))
    sha256 = hashlib.sha256(data).hexdigest()
    try:
        pixels = Radiograph.from_bytes(data, decode_side_px=_DECODE_SIDE_PX).pixels
    except InputError as fault:
        reason = next(reason for kind, reason in _REASONS if isinstance(fault, kind))
        return _Inspected(film, sha256, excluded=ExcludedFilm(film, reason, str(fault)))
    small = thumbnail(pixels)
    return _Inspected(film, sha256, difference_hash(small) if small.std() >= _FLAT_GREY_LEVELS else None)


def _copies_in_one_split(readable: Iterable[_Inspected]) -> tuple[list[ExcludedFilm], list[FilmPair]]:
    """For files that a split holds several times: the copies to exclude, and the pairs of first and later copy."""
    groups: dict[tuple[str, str], list[FilmFile]] = defaultdict(list)
    for entry in readable:
        groups[entry.sha256, entry.film.split].append(entry.film)
    excluded, pairs = [], []
    for first, *later in groups.values():
        pairs += [FilmPair(Link.EXACT, first, film) for film in later]
        if all(film.finding is first.finding for film in later):
            detail = f"It is the same file as {first.relative}."
            excluded += [ExcludedFilm(film, Reason.DUPLICATE, detail) for film in later]
        else:
            # One of the labels is wrong, and nothing says which.
            detail = f"These are one file: {', '.join(film.relative for film in (first, *later))}."
            excluded += [ExcludedFilm(film, Reason.CONTRADICTION, detail) for film in (first, *later)]
    return excluded, pairs


def _near_pairs(kept: Iterable[_Inspected], most_bits: int) -> Iterator[FilmPair]:
    comparable = [entry for entry in kept if entry.hash is not None]
    hashes = np.array([entry.hash for entry in comparable], dtype=np.uint64).reshape(-1, HASH_BITS // 64)
    for i, j, distance_bits in close_pairs(hashes, most_bits):
        if comparable[i].sha256 != comparable[j].sha256:
            yield FilmPair(Link.NEAR, comparable[i].film, comparable[j].film, distance_bits)


def _pairs_across_splits(kept: Iterable[_Inspected], link: Link, key: Callable[[_Inspected], str | None]) -> Iterator[FilmPair]:
    """Pairs of films in two splits that share a key; of each split the first. key: of a film, None for no key."""
    first_films: dict[str, dict[str, FilmFile]] = defaultdict(dict)
    for entry in kept:
        if (shared := key(entry)) is not None:
            first_films[shared].setdefault(entry.film.split, entry.film)
    for by_split in first_films.values():
        for first, second in combinations(by_split.values(), 2):
            yield FilmPair(link, first, second)
