"""Trials of commissioning: fit to a few films of a hospital, judge on its other patients, and repeat over many draws."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import softmax

from service.model.manifest import ModelManifest
from training.commissioning.acceptance import commission_labelled
from training.commissioning.cases import Acceptance, SiteFilms
from training.commissioning.fitting.decisions import answers_of
from training.commissioning.fitting.figures import film_statistics
from training.commissioning.fitting.head import Cases
from training.commissioning.fitting.nested import THRESHOLDS, Adjustment, Classifier, adjust
from training.errors import DatasetError
from training.evaluation.measures.bootstrap import plain
from training.evaluation.measures.confusion import Floats, mean_of_defined
from training.tables import markdown_table

# The bundle as released; with the site's head and all thresholds, even if not better beyond chance; with the written parts.
STAGES = ("released", "fitted", "as written")

FIGURES = {
    "macro_auc": "AUC",
    "accuracy": "accuracy",
    "ece": "top-label ECE",
    "coverage": "sets hold the truth",
    "review_rate": "flagged",
    "errors_flagged": "errors flagged",
}


@dataclass(frozen=True)
class Trial:
    """Commissioning with some films of a site, judged on the others."""

    source: str
    per_class: int  # films of each class that it is fitted to
    figures: dict[str, dict[str, float | None]]  # by one of STAGES, then one of FIGURES; None where undefined
    head_written: bool
    profile_written: bool


def run_trials(source: str, films: SiteFilms, manifest: ModelManifest, per_class: int, draws: int) -> Iterator[Trial]:
    """One trial for each draw of `per_class` films of every class that the site has."""
    for seed in range(draws):
        given, left_over = draw(films, per_class, seed)
        acceptance = commission_labelled(given, manifest, seed)
        fitted = adjust(given, manifest, seed)[Classifier.HEAD]
        figures = (
            _judge(left_over, _released(left_over, manifest), manifest),
            _judge(left_over, fitted.probabilities(Cases.of(left_over, manifest.temperature)), fitted.manifest),
            _judge(left_over, _written(left_over, acceptance, manifest), _written_manifest(acceptance, manifest)),
        )
        # Scale and offsets alone are no head of the site's own.
        head_written = acceptance.head is not None and bool(acceptance.head.weights.any())
        yield Trial(source, per_class, dict(zip(STAGES, figures, strict=True)), head_written, acceptance.writes_profile)


def trials_table(trials: Sequence[Trial]) -> str:
    """Means over the draws as Markdown, one row for each source, number of films and stage."""
    rows = []
    for source, per_class in dict.fromkeys((trial.source, trial.per_class) for trial in trials):
        chosen = [trial for trial in trials if (trial.source, trial.per_class) == (source, per_class)]
        written = f"{sum(trial.head_written for trial in chosen)} / {sum(trial.profile_written for trial in chosen)}"
        for stage in STAGES:
            of_stage = np.array([[trial.figures[stage][name] for trial in chosen] for name in FIGURES], dtype=float)
            rows.append((source, str(per_class), stage, *(f"{mean:.3f}" for mean in mean_of_defined(of_stage)), written))
    return markdown_table(("source", "films a class", "answers", *FIGURES.values(), "heads / profiles written"), rows)


def draw(films: SiteFilms, per_class: int, seed: int) -> tuple[SiteFilms, SiteFilms]:
    """`per_class` films of every class that the site has, at random, and the films of other patients.

    Raises DatasetError for a class with fewer films, or without a film of other patients.
    """
    rng = np.random.default_rng(seed)
    of_class = [np.flatnonzero(films.labels == index) for index in films.present]
    if (fewest := min(map(len, of_class))) < per_class:
        raise DatasetError(f"A class has {fewest} films that can be used, fewer than the {per_class} to commission with.")
    given: npt.NDArray[np.intp] = np.concatenate([rng.choice(each, per_class, replace=False) for each in of_class])
    patients = {films.patients[index] for index in given}
    others = [index for index, patient in enumerate(films.patients) if patient not in patients]
    left_over = films.only(np.array(others, dtype=np.intp))
    if left_over.present != films.present:
        raise DatasetError(
            f"After {per_class} films of each class are given, a class has no film of other patients to judge; give fewer."
        )
    return films.only(given), left_over


def _released(films: SiteFilms, manifest: ModelManifest) -> Floats:
    return Adjustment(None, manifest.temperature, manifest).probabilities(Cases.of(films, manifest.temperature))


def _written(films: SiteFilms, acceptance: Acceptance, manifest: ModelManifest) -> Floats:
    """Probabilities by the head as it is stored; the released ones if none is written."""
    if acceptance.head is None:
        return _released(films, manifest)
    logits = acceptance.head.logits(films.logits.astype(np.float32), films.embeddings)
    return np.asarray(softmax(logits.astype(np.float64), axis=1))


def _written_manifest(acceptance: Acceptance, manifest: ModelManifest) -> ModelManifest:
    parts = {name: getattr(acceptance, name) for name in THRESHOLDS}
    return manifest.model_copy(update={name: part for name, part in parts.items() if part is not None})


def _judge(films: SiteFilms, probabilities: Floats, manifest: ModelManifest) -> dict[str, float | None]:
    values = film_statistics(films, answers_of(probabilities, films, manifest))(np.ones((1, len(films))))
    return {name: plain(values[name,][0]) for name in FIGURES}
