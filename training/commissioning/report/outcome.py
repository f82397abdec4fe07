"""The outcome of one commissioning, and its JSON object for metrics.json, which names no film, path or patient."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from service.model.decision import FILM_REASONS, film_reasons
from service.model.findings import FINDINGS, Finding
from service.model.manifest import ModelManifest
from service.model.site_profile import Site
from training.commissioning.cases import Acceptance, PartVerdict, Unlabelled
from training.commissioning.films.read import ReadFilm, ReadFilms
from training.evaluation.measures.bootstrap import plain
from training.evaluation.report.provenance import bundle_identity

UNLABELLED = "unlabelled"
OUTLIERS, DRIFT_REFERENCE = "outliers", "drift_reference"


@dataclass(frozen=True)
class Outcome:
    """A finished commissioning, before its files are written."""

    command: str  # command line, without folders of this machine
    created_at: str  # ISO 8601, UTC
    site: Site  # name and number of this commissioning, and of its profile
    manifest: ModelManifest  # of the bundle
    films: ReadFilms  # all films that were found, without those of the classes left out
    classes_left_out: dict[Finding, int]  # number of films of each class left out
    acceptance: Acceptance | None  # of the labelled films; None without any
    unlabelled: Unlabelled | None  # of the films without a label; None without any
    drift_reference: PartVerdict

    @property
    def has_profile(self) -> bool:
        """Whether any part of a profile is written."""
        return any(part.written for part in self.parts.values())

    @property
    def labelled_films(self) -> tuple[ReadFilm, ...]:
        """The used films with a label, in the order of the acceptance's arrays."""
        return tuple(each for each in self.films.used if each.film.finding)

    @property
    def verdict(self) -> str:
        """One paragraph for people: what was measured, and what is written."""
        found = self.acceptance or self.unlabelled
        measured = found.verdict if found else ""
        if not self.has_profile:
            # If the classes are not told apart, the acceptance says already that no profile is written.
            is_said = self.acceptance and not self.acceptance.tells_classes_apart
            return measured if is_said else f"{measured} No site profile is written."
        name, written = f"{self.site.name}-{self.site.version}", [part for part, each in self.parts.items() if each.written]
        if written == [DRIFT_REFERENCE]:
            return f"{measured} Only a drift reference of the site's own films is written, as {name}."
        drift = " with a drift reference of the site's own films," if DRIFT_REFERENCE in written else ""
        return f"{measured} The profile is written,{drift} as {name}."

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a person must read before using the profile."""
        found = self.acceptance or self.unlabelled
        return found.warnings if found else ()

    @property
    def parts(self) -> dict[str, PartVerdict]:
        """Every part that a profile may have: whether it is written, and why."""
        if self.acceptance:
            return {**self.acceptance.parts, DRIFT_REFERENCE: self.drift_reference}
        return {OUTLIERS: self._outliers_without_labels(), DRIFT_REFERENCE: self.drift_reference}

    def _outliers_without_labels(self) -> PartVerdict:
        if self.manifest.outliers is None:
            return PartVerdict(False, "The bundle has no statistics of outliers.")
        if self.unlabelled is None or self.unlabelled.outliers is None:
            return PartVerdict(False, "The released threshold does not flag too many of the site's films.")
        released, own = self.manifest.outliers.threshold, self.unlabelled.outliers.threshold
        return PartVerdict(
            True, f"The released threshold of {released:.2f} flags many of the site's films; its own is {own:.2f}."
        )

    def members(self) -> dict[str, Any]:
        """The content of metrics.json."""
        return {
            "command": self.command,
            "created_at": self.created_at,
            "site": self.site.members(),
            "bundle": bundle_identity(self.manifest),
            "verdict": self.verdict,
            "warnings": list(self.warnings),
            "verified": self.acceptance is not None,
            "profile": f"{self.site.name}-{self.site.version}" if self.has_profile else None,
            "parts": {name: asdict(part) for name, part in self.parts.items()},
            "films": self._films(),
            "acceptance": None if self.acceptance is None else _acceptance(self.acceptance, self.labelled_films),
            "unlabelled": None if self.unlabelled is None else _unlabelled(self.unlabelled),
        }

    def _films(self) -> dict[str, Any]:
        used = self.films.used
        flags = [film_reasons(each.observed, self.manifest.outliers) for each in used]
        return {
            "used": len(used),
            "by_finding": films_by_finding(used),
            "patients": self.acceptance.patients if self.acceptance else None,
            "with_known_patient": sum(bool(each.patient) for each in self.labelled_films),
            "left_out": dict(Counter(each.reason for each in self.films.left_out).most_common()),
            "classes_left_out": {finding.value: films for finding, films in self.classes_left_out.items()},
            "flagged": {reason.value: plain(np.mean([reason in each for each in flags])) for reason in FILM_REASONS},
        }


def films_by_finding(films: Iterable[ReadFilm]) -> dict[str, int]:
    """Number of films of each finding and without a label; counts of 0 are left out."""
    counts = Counter(each.film.finding.value if each.film.finding else UNLABELLED for each in films)
    return {name: counts[name] for name in (*FINDINGS, UNLABELLED) if counts[name]}


def label(name: str) -> str:
    """The name of a part of the profile as people read it: "operating_points" -> "operating points"."""
    return name.replace("_", " ")


def called(probabilities: Sequence[float] | np.ndarray[Any, Any]) -> Finding:
    """The most probable finding."""
    return FINDINGS[int(np.argmax(probabilities))]


def _acceptance(found: Acceptance, films: Sequence[ReadFilm]) -> dict[str, Any]:
    return {
        "before": found.before,
        "after": found.after,
        "difference": found.difference,
        "tells_classes_apart": found.tells_classes_apart,
        "unlike_training": found.unlike_training,
        "films_needed": {finding.value: films for finding, films in found.films_needed.items()},
        "shortcuts": asdict(found.shortcuts),
        "errors": _errors(found, films),
    }


def _errors(found: Acceptance, films: Sequence[ReadFilm]) -> list[dict[str, Any]]:
    """Number of misclassified films for each pair of classes, before and after."""
    counts = {"before": Counter[tuple[Finding, Finding]](), "after": Counter[tuple[Finding, Finding]]()}
    rows = {"before": found.probabilities_before, "after": found.probabilities_after}
    for when, probabilities in rows.items():
        for each, row in zip(films, probabilities, strict=True):
            if each.film.finding and each.film.finding is not called(row):
                counts[when][each.film.finding, called(row)] += 1
    pairs = sorted(counts["before"].keys() | counts["after"].keys(), key=lambda pair: (-counts["before"][pair], pair))
    return [
        {
            "truth": truth.value,
            "called": wrong.value,
            "before": counts["before"][truth, wrong],
            "after": counts["after"][truth, wrong],
        }
        for truth, wrong in pairs
    ]


def _unlabelled(found: Unlabelled) -> dict[str, Any]:
    return {
        "films": found.films,
        "shares": {finding.value: _share(share, found.shares_95[finding]) for finding, share in found.shares.items()},
        "called": {finding.value: plain(share) for finding, share in found.called.items()},
        "unlike_training": _share(found.unlike_training, found.unlike_training_95),
        "review_rate": plain(found.review_rate),
    }


def _share(share: float, interval: tuple[float, float]) -> dict[str, Any]:
    return {"share": plain(share), "interval_95": {"share": [plain(bound) for bound in interval]}}
