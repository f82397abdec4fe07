"""Commissions a bundle at one site: reads its films, measures, fits, and writes the report and the site profile.

Prints progress on stderr, nothing on stdout.
"""

import os
import shutil
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter

import numpy as np
from threadpoolctl import threadpool_limits

from service.model.bundle import ModelBundle
from service.model.findings import FINDINGS, Finding
from service.model.manifest import ModelManifest
from service.model.model import Model
from service.model.predictor import load_predictor
from service.model.releases import profile_name
from service.model.site_profile import Site
from training.command_text import command_line
from training.commissioning.acceptance import commission_labelled
from training.commissioning.cases import Acceptance, Unlabelled
from training.commissioning.films.cases import labelled_cases, outlier_scores, unusual_images
from training.commissioning.films.feedback import feedback_films
from training.commissioning.films.folder import FoundFilm, find_films
from training.commissioning.films.patients import numbered
from training.commissioning.films.read import ReadFilms, read_films
from training.commissioning.profile import site_drift, write_site_profile
from training.commissioning.report.files import write_report
from training.commissioning.report.outcome import Outcome, films_by_finding
from training.commissioning.unlabelled import commission_unlabelled
from training.data.folder import named
from training.errors import CommissioningError, ConfigError

SITES = Path("sites")
REPORTS = Path("reports")


@dataclass(frozen=True)
class CommissioningJob:
    """What to commission with; the defaults are those of `cxr commission`."""

    site: str  # name of the site
    bundle: Path  # folder of the bundle
    folder: Path | None = None  # of the site's films; None takes only those of the archive
    labels: Path | None = None  # table of labels; None takes labels.csv of the folder, if it is there
    archive: Path | None = None  # folder with films whose confirmed labels are on record; None takes none
    unlabelled: bool = False  # whether to ignore all labels
    leave_out: tuple[Finding, ...] = ()  # classes whose films are not used
    sites: Path = SITES  # folder of the profiles
    reports: Path = REPORTS  # folder of the reports
    seed: int = 0  # of folds and bootstrap samples
    threads: int = os.cpu_count() or 1  # films read at the same time


@dataclass(frozen=True)
class Commissioned:
    """A finished commissioning."""

    verdict: str  # one paragraph
    report: Path  # folder of the report
    profile: Path | None  # folder of the profile; None if none is written


def commission(job: CommissioningJob) -> Commissioned:
    """Commission a bundle, and write report and profile under the next free number of the site.

    Raises CommissioningError, ConfigError, DatasetError, BundleError or OSError; nothing is written then.
    """
    if profile_name(f"{job.site}-1") is None:
        raise ConfigError(
            f"The site's name is {job.site!r}; give small letters, digits and hyphens, at most 40, such as st-anna (--site)."
        )
    if job.threads < 1:
        raise ConfigError(f"threads is {job.threads}; commissioning needs at least 1.")
    bundle = ModelBundle.open(job.bundle)
    for folder in (job.sites, job.reports):
        folder.mkdir(parents=True, exist_ok=True)  # now, so that a folder that cannot be made fails before the films are read
    with _step(1, "The films are looked up"):
        found, left_out = _find_films(job)
    with _step(2, f"{len(found)} films are read and judged by {bundle.manifest.name} {bundle.manifest.version}"):
        films = read_films(bundle, load_predictor(bundle), found, threads=job.threads)
    _describe(films)
    _require_used(films)
    with _step(3, "The released model is measured, and a profile fitted by nested cross-validation"):
        acceptance, unlabelled = _measure(films, bundle.manifest, job.seed)
    drift = site_drift(bundle, films, acceptance)
    site, report = _take_number(job)
    outcome = Outcome(
        command=_command(job),
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        site=site,
        manifest=bundle.manifest,
        films=films,
        classes_left_out=left_out,
        acceptance=acceptance,
        unlabelled=unlabelled,
        drift_reference=drift.verdict,
    )
    profile = None
    try:
        with _step(4, "The profile is written" if outcome.has_profile else "No profile is written"):
            if outcome.has_profile:
                profile = write_site_profile(job.sites, bundle, outcome, drift)
        with _step(5, "The report is written"):
            write_report(outcome, Model.from_bundle(bundle, profile=profile), report)
    except BaseException:  # also Ctrl-C: a profile must not be served without the report that says what it is worth
        if profile:
            shutil.rmtree(profile.path, ignore_errors=True)
        shutil.rmtree(report, ignore_errors=True)
        raise
    return Commissioned(outcome.verdict, report, profile.path if profile else None)


def _find_films(job: CommissioningJob) -> tuple[tuple[FoundFilm, ...], dict[Finding, int]]:
    """The films to use, and the number of films of each class that is left out."""
    films = (find_films(job.folder, job.labels) if job.folder else ()) + (feedback_films(job.archive) if job.archive else ())
    if not films:
        raise ConfigError("There are no films to commission with; give their folder, or --from-feedback.")
    dropped = Counter(film.finding for film in films if film.finding in job.leave_out)
    kept = tuple(film for film in films if film.finding not in job.leave_out)
    if dropped and not any(film.finding or job.unlabelled for film in kept):
        raise CommissioningError(
            f"--leave-out leaves no {'film' if job.unlabelled else 'labelled film'} of {job.folder or job.archive} to "
            "commission with; leave out fewer classes, or add films of other classes."
        )
    if job.unlabelled:
        kept = tuple(FoundFilm(film.path, film.relative, None, film.patient) for film in kept)
    elif not any(film.finding for film in kept):
        raise CommissioningError(
            f"No film of {job.folder or job.archive} has a label: put films into folders named {', '.join(FINDINGS)}, or write "
            "labels.csv. Without labels nothing can be verified; --unlabelled continues all the same."
        )
    return kept, {finding: number for finding, number in dropped.items() if finding}


def _describe(films: ReadFilms) -> None:
    """Print on stderr which films are used, and which are left out and why."""
    counts = ", ".join(f"{name} {count}" for name, count in films_by_finding(films.used).items())
    print(f"      Used: {counts or 'none'}.", file=sys.stderr)
    if unknown := sum(each.film.finding is not None and not each.patient for each in films.used):
        print(
            f"      The patient of {unknown} labelled films is unknown; each counts as a patient of its own.", file=sys.stderr
        )
    tops = Counter((*each.film.relative.partition("/")[:2], each.film.finding) for each in films.used)
    others = ", ".join(f"{top}/ {count}" for (top, slash, finding), count in tops.items() if slash and finding is None)
    if others and any(top == finding for top, _, finding in tops):
        print(f"      Without a label, since these folders are not named as a class: {others}.", file=sys.stderr)
    for reason, count in Counter(each.reason for each in films.left_out).most_common():
        names = [each.film.relative for each in films.left_out if each.reason == reason]
        print(f"      Left out as {reason}: {count} ({named(names)}).", file=sys.stderr)


def _require_used(films: ReadFilms) -> None:
    if not films.used:
        first = films.left_out[0]
        raise CommissioningError(f"None of the {len(films.left_out)} films can be used; {first.film.relative}: {first.detail}")
    usable = {each.film.finding for each in films.used}
    lost = {each.film.finding: each for each in reversed(films.left_out)}  # the first of each finding
    for finding in FINDINGS:
        if finding in lost and finding not in usable:
            raise CommissioningError(
                f"No film of {finding} can be used; {lost[finding].film.relative}: {lost[finding].detail} Mend the films that "
                f"are left out, or go on without the class (--leave-out {finding})."
            )


def _measure(films: ReadFilms, manifest: ModelManifest, seed: int) -> tuple[Acceptance | None, Unlabelled | None]:
    labelled = [each for each in films.used if each.film.finding]
    with threadpool_limits(limits=1, user_api="blas"):  # more threads would slow down these many small fits
        acceptance = commission_labelled(labelled_cases(labelled, manifest), manifest, seed) if labelled else None
    others = [each for each in films.used if not each.film.finding]
    if not others:
        return acceptance, None
    return acceptance, commission_unlabelled(
        np.stack([each.logits for each in others]),
        outlier_scores(others),
        manifest,
        numbered(each.patient for each in others),
        unusual_images(others, manifest),
        seed,
    )


def _next_number(job: CommissioningJob) -> int:
    """One more than the highest of the site's profiles and reports, so that both have the same number."""
    taken = [path.name.rpartition("-") for path in (*job.sites.glob("*"), *job.reports.glob("*"))]
    names = (job.site, f"commission-{job.site}")
    return 1 + max((int(number) for name, _, number in taken if name in names and number.isdecimal()), default=0)


def _take_number(job: CommissioningJob) -> tuple[Site, Path]:
    """The site with the next free number, and its report folder; making that folder reserves the number."""
    number = _next_number(job)
    while True:
        report = job.reports / f"commission-{job.site}-{number}"
        try:
            report.mkdir()
        except FileExistsError:  # another commissioning has just taken it
            number += 1
        else:
            return Site(job.site, number), report


def _command(job: CommissioningJob) -> str:
    """The command line that the report shows."""
    given: dict[str, object] = {"site": job.site, "bundle": job.bundle}
    for name, value in (("labels", job.labels), ("from_feedback", job.archive)):
        if value is not None:
            given[name] = value
    if job.seed:
        given["seed"] = job.seed
    flags = ["--unlabelled"] * job.unlabelled + [f"--leave-out={finding}" for finding in job.leave_out]
    return " ".join([command_line("cxr commission", *([job.folder] if job.folder else []), **given), *flags])


@contextmanager
def _step(number: int, title: str) -> Iterator[None]:
    start = perf_counter()
    print(f"[{number}/5] {title} ...", file=sys.stderr, flush=True)
    yield
    print(f"      {perf_counter() - start:.1f} s", file=sys.stderr, flush=True)
