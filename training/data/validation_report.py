"""ValidationReport: the faults of a data folder (REPORT Table 4), as table and as document, and whether they allow training."""

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from service.film.limits import DecodeLimits
from service.model.findings import FINDINGS
from training.data.duplicates import HASH_BITS
from training.data.folder import REQUIRED_SPLITS, FilmFile, named, sources_fingerprint
from training.errors import EmptyClass, SplitLeakage
from training.tables import markdown_table

REPORT_NAME = "validation_report.md"

_LISTED_AT_MOST = 100  # entries per list, so that a broken folder has a short report; counts include all


class Reason(StrEnum):
    """Why a film is excluded from training."""

    UNREADABLE = "unreadable"
    TOO_SMALL = "too small"
    TOO_LARGE = "too large"
    ASPECT_RATIO = "aspect ratio"
    DUPLICATE = "copy of another film of the split"
    CONTRADICTION = "same file under two findings"


class Link(StrEnum):
    """What two films share."""

    GROUP = "same group"
    EXACT = "same file"
    NEAR = "near duplicate"


@dataclass(frozen=True)
class ExcludedFilm:
    """A film that training must not use."""

    film: FilmFile
    reason: Reason  # why, in a word
    detail: str  # why, in a sentence


@dataclass(frozen=True)
class FilmPair:
    """Two films that are linked."""

    link: Link  # what they share
    first: FilmFile
    second: FilmFile
    distance_bits: int | None = None  # Hamming distance of the difference hashes of near duplicates

    @property
    def crosses_splits(self) -> bool:
        """Whether the two are in different splits."""
        return self.first.split != self.second.split

    def __str__(self) -> str:
        bits = f", {self.distance_bits} bits apart" if self.link is Link.NEAR else ""
        return f"{self.first.relative} and {self.second.relative} ({self.link}{bits})"


@dataclass(frozen=True)
class ValidationReport:
    """What validation found in a data folder."""

    films: int  # number of files
    usable: tuple[FilmFile, ...]  # films for training and evaluation, sorted by relative path
    excluded: tuple[ExcludedFilm, ...]  # the other films
    pairs: tuple[FilmPair, ...]  # duplicates within a split, and all links between splits
    flat: tuple[FilmFile, ...]  # nearly constant films; usable, but not compared with others
    data_fingerprint: str  # of all files; see `training.data.folder.fingerprint`
    near_duplicate_bits: int  # largest Hamming distance at which two films counted as near duplicates

    @property
    def leaks(self) -> tuple[FilmPair, ...]:
        """The pairs that cross splits."""
        return tuple(pair for pair in self.pairs if pair.crosses_splits)

    @property
    def sources_fingerprint(self) -> str:
        """See `training.data.folder.sources_fingerprint`."""
        return sources_fingerprint([*self.usable, *(each.film for each in self.excluded)])

    @property
    def not_in_manifest(self) -> tuple[FilmFile, ...]:
        """Usable films that the manifest does not name; empty without a manifest."""
        return tuple(film for film in self.usable if not film.in_manifest)

    @property
    def empty_classes(self) -> tuple[str, ...]:
        """Classes of train and val without a usable film, as "split/finding"."""
        present = {(film.split, film.finding) for film in self.usable}
        return tuple(
            f"{split}/{finding}" for split in REQUIRED_SPLITS for finding in FINDINGS if (split, finding) not in present
        )

    def require_trainable(self) -> None:
        """Raise SplitLeakage if a group or a film is in two splits, EmptyClass if train or val lacks a finding.

        Write the report first, since it names more files than the message.
        """
        if self.leaks:
            counts = Counter(pair.link for pair in self.leaks)
            raise SplitLeakage(
                f"{len(self.leaks)} pair(s) of films are in two splits "
                f"({', '.join(f'{link}: {counts[link]}' for link in Link if link in counts)}): "
                f"{named([str(pair) for pair in self.leaks])}; "
                "move both films of a pair to one split, or, where near duplicates are different films, "
                f"lower near_duplicate_bits ({self.near_duplicate_bits})."
            )
        if self.empty_classes:
            raise EmptyClass(f"No usable film in {', '.join(self.empty_classes)}; train and val need every finding.")

    def checks(self) -> list[tuple[str, str, int]]:
        """(quality check, action, number found): the rows of REPORT Table 4 in its order, then others."""
        decode = DecodeLimits()
        excluded = Counter(entry.reason for entry in self.excluded)
        near = [pair for pair in self.pairs if pair.link is Link.NEAR and not pair.crosses_splits]
        leaks = Counter(pair.link for pair in self.leaks)
        first_copy, error = "First copy kept, later ones excluded", "Error: nothing is trained"
        rows = [
            ("Unreadable or unsupported files", "Excluded", excluded[Reason.UNREADABLE]),
            (f"Too small (< {decode.min_side_px} px)", "Excluded", excluded[Reason.TOO_SMALL]),
            (f"Too large (> {decode.max_pixels / 1e6:g} million px)", "Excluded", excluded[Reason.TOO_LARGE]),
            (f"Extreme aspect ratio (> {decode.max_aspect_ratio:g}:1)", "Excluded", excluded[Reason.ASPECT_RATIO]),
            ("Exact duplicates in one split", first_copy, excluded[Reason.DUPLICATE]),
            ("Same file under two findings", "All copies excluded", excluded[Reason.CONTRADICTION]),
            (
                f"Near duplicates in one split (<= {self.near_duplicate_bits} of {HASH_BITS} bits), pairs",
                "Reported, kept",
                len(near),
            ),
            (
                "... of these under two findings, pairs",
                "Reported: check the labels",
                sum(pair.first.finding is not pair.second.finding for pair in near),
            ),
            ("Nearly constant pictures", "Reported, kept, not compared by picture", len(self.flat)),
            ("Not in the manifest", "Reported, kept, source unknown", len(self.not_in_manifest)),
            ("Same group in two splits, pairs", error, leaks[Link.GROUP]),
            ("Same file in two splits, pairs", error, leaks[Link.EXACT]),
            ("Near duplicates in two splits, pairs", error, leaks[Link.NEAR]),
            ("Findings without a usable film in train or val", error, len(self.empty_classes)),
        ]
        return [(name, action if found else "None required", found) for name, action, found in rows]

    def table(self) -> str:
        """A Markdown table, and the share of usable films."""
        rows = [(name, action, f"{found:,}") for name, action, found in self.checks()]
        share = 100 * len(self.usable) / self.films if self.films else 0.0
        usable = f"{len(self.usable):,} of {self.films:,} films ({share:.2f} %) are usable."
        return f"{markdown_table(('Quality check', 'Action', 'Found'), rows, words=2)}\n\n{usable}\n"

    def lists(self) -> str:
        """Markdown lists of the films behind the table, one for each kind of fault. Empty for a folder without faults."""
        sections = (
            ("In two splits", [str(pair) for pair in self.leaks]),
            ("Findings without a usable film", list(self.empty_classes)),
            ("Excluded", [f"{entry.film.relative}: {entry.reason}. {entry.detail}" for entry in self.excluded]),
            ("Duplicates in one split", [str(pair) for pair in self.pairs if not pair.crosses_splits]),
            ("Nearly constant", [film.relative for film in self.flat]),
            ("Not in the manifest", [film.relative for film in self.not_in_manifest]),
        )
        lines = []
        for title, items in sections:
            if items:
                lines += ["", f"## {title} ({len(items):,})", "", *(f"- {item}" for item in items[:_LISTED_AT_MOST])]
                if len(items) > _LISTED_AT_MOST:
                    lines.append(f"- and {len(items) - _LISTED_AT_MOST:,} more")
        return "\n".join(lines)

    def write(self, out_dir: Path) -> None:
        """Write validation_report.md into `out_dir`, which is created if missing."""
        out_dir.mkdir(parents=True, exist_ok=True)
        document = f"# Data validation\n\n{self.table()}\nData fingerprint: `{self.data_fingerprint}`\n{self.lists()}\n"
        (out_dir / REPORT_NAME).write_text(document, encoding="utf-8")
