"""ValidationReport: what validation found in a data folder (REPORT Table 4), as JSON, table and verdict."""

import json
from collections import Counter
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path

from service.film.limits import DecodeLimits
from service.model.findings import FINDINGS
from training.data.duplicates import HASH_BITS
from training.data.folder import REQUIRED_SPLITS, FilmFile, named, sources_fingerprint
from training.errors import ConfigError, EmptyClass, SplitLeakage

REPORT_JSON = "validation_report.json"
REPORT_TABLE = "validation_report.md"

_LISTED_AT_MOST = 100  # entries per list, to keep the report of a broken folder small; counts include all


@dataclass(frozen=True)
class ValidationLimits:
    """What is excluded and what counts as a duplicate."""

    decode: DecodeLimits = field(default_factory=DecodeLimits)  # limits of the decoder
    # largest Hamming distance, of 256 bits, at which two films are near duplicates. In 4,700 films of six public collections,
    # copies differ by 0 to 11 bits and the most similar patients by 15 to 16. With many more films, patients come closer, and
    # 11 may fit better.
    near_duplicate_bits: int = 14
    # standard deviation of the 17 x 16 thumbnail under which a film is nearly constant (blank, or all collimator); the flattest
    # of those 4,700 films has 13.8
    flat_grey_levels: float = 4.0

    def __post_init__(self) -> None:
        if not 0 <= self.near_duplicate_bits < HASH_BITS:
            raise ConfigError(f"near_duplicate_bits is {self.near_duplicate_bits}; it must lie in 0 to {HASH_BITS - 1}.")
        if not self.flat_grey_levels >= 0:
            raise ConfigError(f"flat_grey_levels is {self.flat_grey_levels}; it must not be negative.")


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

    film: FilmFile  # the file
    reason: Reason  # why, in a word
    detail: str  # why, in a sentence


@dataclass(frozen=True)
class FilmPair:
    """Two films that are linked."""

    link: Link  # what they share
    first: FilmFile  # one film
    second: FilmFile  # the other
    distance_bits: int | None  # Hamming distance of their difference hashes; 0 for the same file, None for the same group

    @property
    def crosses_splits(self) -> bool:
        """Whether the two are in different splits."""
        return self.first.split != self.second.split

    @property
    def crosses_findings(self) -> bool:
        """Whether the two carry different labels."""
        return self.first.finding is not self.second.finding

    def __str__(self) -> str:
        bits = f", {self.distance_bits} bits apart" if self.link is Link.NEAR else ""
        return f"{self.first.relative} and {self.second.relative} ({self.link}{bits})"


@dataclass(frozen=True)
class Check:
    """One row of the table."""

    name: str  # what was looked for
    found: int  # how many were found
    action: str  # what is done about them


@dataclass(frozen=True)
class ValidationReport:
    """What validation found in a data folder."""

    films: int  # number of files
    usable: tuple[FilmFile, ...]  # films to train on and to judge with, sorted by relative path
    excluded: tuple[ExcludedFilm, ...]  # the other films
    pairs: tuple[FilmPair, ...]  # duplicates within a split, and all links between splits
    flat: tuple[FilmFile, ...]  # nearly constant films; usable, but not compared with others
    data_fingerprint: str  # of all files, whatever the limits; see `training.data.folder.fingerprint`
    limits: ValidationLimits  # of this validation

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
        """The "split/finding" of train and val without a usable film."""
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
                f"lower near_duplicate_bits ({self.limits.near_duplicate_bits})."
            )
        if self.empty_classes:
            raise EmptyClass(f"No usable film in {', '.join(self.empty_classes)}; train and val need every finding.")

    def checks(self) -> tuple[Check, ...]:
        """The rows of the table: those of REPORT Table 4 in its order, then others."""
        decode = self.limits.decode
        excluded = Counter(entry.reason for entry in self.excluded)
        near = [pair for pair in self.pairs if pair.link is Link.NEAR and not pair.crosses_splits]
        leaks = Counter(pair.link for pair in self.leaks)
        rows = (
            ("Unreadable or unsupported files", excluded[Reason.UNREADABLE], "Excluded"),
            (f"Too small (< {decode.min_side_px} px)", excluded[Reason.TOO_SMALL], "Excluded"),
            (f"Too large (> {decode.max_pixels / 1e6:g} million px)", excluded[Reason.TOO_LARGE], "Excluded"),
            (f"Extreme aspect ratio (> {decode.max_aspect_ratio:g}:1)", excluded[Reason.ASPECT_RATIO], "Excluded"),
            ("Exact duplicates in one split", excluded[Reason.DUPLICATE], "First copy kept, later ones excluded"),
            ("Same file under two findings", excluded[Reason.CONTRADICTION], "All copies excluded"),
            (
                f"Near duplicates in one split (<= {self.limits.near_duplicate_bits} of {HASH_BITS} bits), pairs",
                len(near),
                "Reported, kept",
            ),
            (
                "... of these under two findings, pairs",
                sum(pair.crosses_findings for pair in near),
                "Reported: check the labels",
            ),
            ("Nearly constant pictures", len(self.flat), "Reported, kept, not compared by picture"),
            ("Not in the manifest", len(self.not_in_manifest), "Reported, kept, source unknown"),
            ("Same group in two splits, pairs", leaks[Link.GROUP], "Error: nothing is trained"),
            ("Same file in two splits, pairs", leaks[Link.EXACT], "Error: nothing is trained"),
            ("Near duplicates in two splits, pairs", leaks[Link.NEAR], "Error: nothing is trained"),
            ("Findings without a usable film in train or val", len(self.empty_classes), "Error: nothing is trained"),
        )
        return tuple(Check(name, found, action if found else "None required") for name, found, action in rows)

    def table(self) -> str:
        """A Markdown table, and the share of usable films."""
        rows = [("Quality check", "Found", "Action"), *((row.name, f"{row.found:,}", row.action) for row in self.checks())]
        widths = [max(len(row[column]) for row in rows) for column in range(3)]
        lines = [f"| {name:<{widths[0]}} | {found:>{widths[1]}} | {action:<{widths[2]}} |" for name, found, action in rows]
        lines.insert(1, f"|{'-' * (widths[0] + 2)}|{'-' * (widths[1] + 1)}:|{'-' * (widths[2] + 2)}|")
        share = 100 * len(self.usable) / self.films if self.films else 0.0
        lines += ["", f"{len(self.usable):,} of {self.films:,} films ({share:.2f} %) are usable."]
        return "\n".join(lines) + "\n"

    def write(self, out_dir: Path) -> None:
        """Write validation_report.json and validation_report.md into `out_dir`, which is created if missing."""
        out_dir = Path(out_dir)
        out_dir.mkdir(parents=True, exist_ok=True)
        (out_dir / REPORT_JSON).write_text(json.dumps(self._summary(), indent=2) + "\n", encoding="utf-8")
        (out_dir / REPORT_TABLE).write_text(self._document(), encoding="utf-8")

    def _summary(self) -> dict[str, object]:
        per_class = Counter((film.split, film.finding) for film in self.usable)
        splits = sorted({split for split, _ in per_class})
        # Leaks first: the limit must not hide what stopped the run.
        pairs = sorted(self.pairs, key=lambda pair: not pair.crosses_splits)
        return {
            "data_fingerprint": self.data_fingerprint,
            "films": self.films,
            "usable": len(self.usable),
            "usable_per_class": {split: {finding.value: per_class[split, finding] for finding in FINDINGS} for split in splits},
            "limits": asdict(self.limits),
            "checks": [asdict(row) for row in self.checks()],
            "listed_at_most": _LISTED_AT_MOST,
            "excluded": [
                {"file": entry.film.relative, "reason": entry.reason, "detail": entry.detail}
                for entry in self.excluded[:_LISTED_AT_MOST]
            ],
            "pairs": [
                {
                    "link": pair.link,
                    "first": pair.first.relative,
                    "second": pair.second.relative,
                    "distance_bits": pair.distance_bits,
                    "crosses_splits": pair.crosses_splits,
                }
                for pair in pairs[:_LISTED_AT_MOST]
            ],
            "flat": [film.relative for film in self.flat[:_LISTED_AT_MOST]],
            "not_in_manifest": [film.relative for film in self.not_in_manifest[:_LISTED_AT_MOST]],
            "empty_classes": list(self.empty_classes),
        }

    def _document(self) -> str:
        sections = (
            ("In two splits", [str(pair) for pair in self.leaks]),
            ("Findings without a usable film", list(self.empty_classes)),
            ("Excluded", [f"{entry.film.relative}: {entry.reason}. {entry.detail}" for entry in self.excluded]),
            ("Duplicates in one split", [str(pair) for pair in self.pairs if not pair.crosses_splits]),
            ("Nearly constant", [film.relative for film in self.flat]),
            ("Not in the manifest", [film.relative for film in self.not_in_manifest]),
        )
        lines = ["# Data validation", "", self.table(), f"Data fingerprint: `{self.data_fingerprint}`"]
        for title, items in sections:
            if items:
                lines += ["", f"## {title} ({len(items):,})", "", *(f"- {item}" for item in items[:_LISTED_AT_MOST])]
                if len(items) > _LISTED_AT_MOST:
                    lines.append(f"- and {len(items) - _LISTED_AT_MOST:,} more")
        return "\n".join(lines) + "\n"
