"""The part `attention`: do Grad-CAM maps lie in the lungs, and what do they depend on?"""

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

# Two minutes on two cores.
FILMS = 300  # one run of the graph each
CURVE_FILMS = 60  # about 70 more runs each
RANDOMISED_FILMS = 36  # two runs of the PyTorch network each


def measure_attention(
    evidence: Evidence, *, films: int = FILMS, curve_films: int = CURVE_FILMS, randomised_films: int = RANDOMISED_FILMS
) -> Measured:
    """Grad-CAM of the predicted class, on subsets stratified by class and source; the larger contain the smaller.

    films: number of maps. curve_films, randomised_films: how many of them the costlier checks use. `lungs` is None without a
    lung segmenter, `randomised` without a network in PyTorch.
    """
    bootstrap = evidence.bootstrap

    def chosen(size: int) -> list[FilmFile]:
        return [each.film for each in evidence.judged().stratified(min(size, films), bootstrap.seed).judged]

    explained = explain_films(evidence, chosen(films))
    by_film = {each.film: each for each in explained}
    return {
        "lungs": None if evidence.lungs is None else measure_lungs(explained, bootstrap),
        "zones": measure_zones(explained, bootstrap),
        "curves": measure_curves([by_film[film] for film in chosen(curve_films)], evidence),
        "randomised": measure_randomised([by_film[film] for film in chosen(randomised_films)], evidence),
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
