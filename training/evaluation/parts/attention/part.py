"""Grad-CAM maps as a part of the evaluation: do they lie in the lungs, and what do they depend on?"""

from pathlib import Path

from training.data.folder import FilmFile
from training.evaluation.evidence import Evidence
from training.evaluation.part import Measured, Part
from training.evaluation.parts.attention.checks import (
    describe_curves,
    describe_randomised,
    measure_curves,
    measure_randomised,
)
from training.evaluation.parts.attention.location import (
    describe_lungs,
    describe_zones,
    draw_zones,
    measure_lungs,
    measure_zones,
)
from training.evaluation.parts.attention.maps import explain_films

# A run of the graph a film; about 70 for curves; two PyTorch runs for random weights: two minutes on two cores in all.
FILMS = 300
CURVE_FILMS = 60
RANDOMISED_FILMS = 36


def measure_attention(
    evidence: Evidence, *, films: int = FILMS, curve_films: int = CURVE_FILMS, randomised_films: int = RANDOMISED_FILMS
) -> Measured:
    """Grad-CAM of the predicted class, on subsets stratified by class and source; each smaller one is part of the larger.

    `lungs` is None without a lung segmenter, `randomised` without a network in PyTorch.
    """
    bootstrap = evidence.bootstrap

    def chosen(size: int) -> list[FilmFile]:
        return [each.film for each in evidence.judged().stratified(min(size, films), bootstrap.seed).judged]

    explained = dict(zip(chosen(films), explain_films(evidence, chosen(films)), strict=True))
    every = list(explained.values())
    return {
        "lungs": None if evidence.lungs is None else measure_lungs(every, bootstrap),
        "zones": measure_zones(every, bootstrap),
        "curves": measure_curves([explained[film] for film in chosen(curve_films)], evidence),
        "randomised": measure_randomised([explained[film] for film in chosen(randomised_films)], evidence),
    }


def _paragraphs(values: Measured) -> list[str]:
    return [
        "### Attention inside the lungs",
        *describe_lungs(values["lungs"]),
        "### Attention by zone",
        *describe_zones(values["zones"]),
        "### Deletion and insertion",
        *describe_curves(values["curves"]),
        "### Randomised weights",
        *describe_randomised(values["randomised"]),
    ]


def _draw(values: Measured, folder: Path) -> None:
    draw_zones(values["zones"], folder)


PART = Part("attention", "Attention", measure_attention, _paragraphs, _draw)
