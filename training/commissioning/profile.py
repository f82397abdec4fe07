"""Writes the site profile, with a drift reference of the site's own films."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from export.drift_reference import build_reference
from export.site_profile import golden_answers, write_profile
from service.film.arrays import NetworkValues
from service.model.bundle import ModelBundle
from service.model.drift_reference import DriftReference, film_statistics
from service.model.manifest import DRIFT_REFERENCE_NAME
from service.model.outliers import read_outlier_statistics
from service.model.site_profile import BundleIdentity, SiteHead, SiteProfile
from training.commissioning.cases import Acceptance, PartVerdict
from training.commissioning.films.read import ReadFilm, ReadFilms
from training.commissioning.report.outcome import Outcome, films_by_finding

# With fewer films, nearly any difference between their ten bins and those of later films may be chance.
_MIN_FILMS = 20

# From this number on, films without a label represent the site better than films that were chosen to be labelled.
_MANY_FILMS = 100


@dataclass(frozen=True)
class SiteDrift:
    """The drift reference of the site, or why there is none."""

    verdict: PartVerdict
    reference: DriftReference | None


def site_drift(bundle: ModelBundle, films: ReadFilms, acceptance: Acceptance | None) -> SiteDrift:
    """Build the drift reference from the site's films, without the labelled ones if there are many others.

    A labelled film counts with its out-of-fold answer: a head is surer of the films that it was fitted to than of others, and
    a reference of such answers would show drift from the first day on.
    """
    if acceptance and not acceptance.tells_classes_apart:
        return SiteDrift(PartVerdict(False, "The labels or the films are in doubt, so nothing of them is written."), None)
    answers = _answers(films.used, acceptance)
    unlabelled = [index for index, each in enumerate(films.used) if not each.film.finding]
    chosen = unlabelled if len(unlabelled) >= _MANY_FILMS else list(range(len(films.used)))
    if len(chosen) < _MIN_FILMS:
        reason = f"There are {len(chosen)} films; it takes at least {_MIN_FILMS}."
        return SiteDrift(PartVerdict(False, reason), None)
    of_films = [films.used[index] for index in chosen]
    reference = build_reference(
        [film_statistics(each.image, each.width_px, each.height_px) for each in of_films],
        answers[chosen],
        np.stack([each.embedding for each in of_films]),
        None if bundle.manifest.outliers is None else read_outlier_statistics(bundle).components,
    )
    which = "without a label, " if chosen is unlabelled and len(unlabelled) < len(films.used) else ""
    reason = f"Measured on {len(chosen)} films {which}of this site; it needs no labels."
    if any(each.film.finding for each in of_films) and DRIFT_REFERENCE_NAME in bundle.manifest.files:
        released = DriftReference.model_validate_json(bundle.file(DRIFT_REFERENCE_NAME).read_bytes())
        reference = reference.model_copy(update={"predicted_class": released.predicted_class})
        reason += " The shares of the classes are the bundle's: films with labels are seldom the site's usual mix."
    return SiteDrift(PartVerdict(True, reason), reference)


def write_site_profile(sites: Path, bundle: ModelBundle, outcome: Outcome, drift: SiteDrift) -> SiteProfile:
    """Write the profile in `sites`/<name>-<version>. Raises ExportError or OSError."""
    found = outcome.acceptance
    outliers = found.outliers if found else outcome.unlabelled.outliers if outcome.unlabelled else None
    head = found.head if found else None
    members = {
        **outcome.site.members(),
        "created_at": outcome.created_at,
        "bundle": BundleIdentity.of(bundle),
        "operating_points": found.operating_points if found else None,
        "conformal": found.conformal if found else None,
        "review": found.review if found else None,
        "outliers": outliers,
        "verified": found is not None,
        "warnings": outcome.warnings,
        "figures": {"before": found.before, "after": found.after, "difference": found.difference} if found else {},
        "films": films_by_finding(outcome.films.used),
    }
    folder = sites / f"{outcome.site.name}-{outcome.site.version}"
    return write_profile(folder, members, head=head, golden=golden_answers(bundle, head), drift_reference=drift.reference)


def _answers(films: Sequence[ReadFilm], acceptance: Acceptance | None) -> NetworkValues:
    """Probabilities of the profile for each film, out of fold for labelled ones; float32 [N, 3]."""
    head = acceptance.head if acceptance else None
    rows = [_probabilities(each, head) for each in films]
    if acceptance:
        labelled = [index for index, each in enumerate(films) if each.film.finding]
        for index, row in zip(labelled, acceptance.probabilities_after, strict=True):
            rows[index] = row.astype(np.float32)
    return np.stack(rows)


def _probabilities(film: ReadFilm, head: SiteHead | None) -> NetworkValues:
    return film.probabilities if head is None else head.probabilities(film.logits.astype(np.float32), film.embedding)
