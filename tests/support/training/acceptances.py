"""Results of commissioning with made-up numbers, for tests of report and profile."""

from typing import Any

import numpy as np

from service.model.findings import FINDINGS, Finding
from service.model.manifest import ConformalSpec, OutlierSpec
from tests.support.site_profiles import site_head
from training.commissioning.cases import Acceptance, PartVerdict, ShortcutControl, SiteFilms, Unlabelled

MEASURES = ("macro_auc", "accuracy", "ece", "log_loss", "coverage", "set_size", "review_rate", "errors_flagged")


def figures(value: float, present: tuple[int, ...]) -> dict[str, Any]:
    """Every measure has this value, and an interval around it."""
    of_classes = {
        FINDINGS[index].value: level(dict.fromkeys(("sensitivity", "specificity", "coverage"), value)) for index in present
    }
    return {**level(dict.fromkeys(MEASURES, value)), "per_class": of_classes}


def level(values: dict[str, float]) -> dict[str, Any]:
    return {**values, "interval_95": {name: [value - 0.01, value + 0.01] for name, value in values.items()}}


def acceptance(films: SiteFilms, *, head: bool = True, warnings: tuple[str, ...] = (), **changes: Any) -> Acceptance:
    """The released answers are wrong on every second film, the others on every tenth."""
    parts = ("head", "operating_points", "conformal", "review", "outliers")
    members: dict[str, Any] = {
        "films": films.films_by_finding(),
        "patients": len(set(films.patients)),
        "before": figures(0.5, films.present),
        "after": figures(0.9, films.present),
        "difference": figures(0.4, films.present),
        "unlike_training": {"share": 0.25, "interval_95": {"share": [0.2, 0.3]}},
        "films_needed": {FINDINGS[index]: 139 for index in films.present},
        "tells_classes_apart": True,
        "parts": {name: PartVerdict(head and name in ("head", "conformal"), f"Made up for {name}.") for name in parts},
        "verdict": "The made-up model is better here.",
        "warnings": warnings,
        "shortcuts": ShortcutControl(0.6, 0.7, 0.95, None),
        "probabilities_before": answers(films, 2),
        "probabilities_after": answers(films, 10),
        "head": site_head(films.embeddings.shape[1]) if head else None,
        "conformal": ConformalSpec(coverage=0.9, quantiles=dict.fromkeys(FINDINGS, 0.7)) if head else None,
    }
    return Acceptance(**(members | changes))


def answers(films: SiteFilms, every: int) -> np.ndarray:
    """Probabilities with a wrong answer on one film of so many, surer from film to film."""
    called = np.where(np.arange(len(films)) % every == 0, (films.labels + 1) % len(FINDINGS), films.labels)
    confidence = np.linspace(0.4, 0.98, len(films))
    rest = (1 - confidence) / 2
    return np.where(np.eye(len(FINDINGS), dtype=bool)[called], confidence[:, None], rest[:, None])


def unlabelled(films: int, outliers: OutlierSpec | None, warnings: tuple[str, ...] = ()) -> Unlabelled:
    shares = dict(zip(FINDINGS, (0.7, 0.2, 0.1), strict=True))
    return Unlabelled(
        films=films,
        shares=shares,
        shares_95={finding: (share - 0.05, share + 0.05) for finding, share in shares.items()},
        called={Finding.NORMAL: 0.1, Finding.PNEUMONIA: 0.2, Finding.TUBERCULOSIS: 0.7},
        unlike_training=0.4,
        unlike_training_95=(0.3, 0.5),
        review_rate=0.6,
        outliers=outliers,
        warnings=warnings,
        verdict="Nothing was verified on the made-up films.",
    )
