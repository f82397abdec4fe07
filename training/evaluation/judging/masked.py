"""The bundle on films of which a part is hidden: how much of a score is left when the lungs cannot be seen?"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from service.film.preprocessing import PreprocessSpec, resize_stretched
from service.model.findings import FINDINGS
from service.model.predictor import Predictor
from training.data.folder import FilmFile
from training.data.lung_regions import SMALLEST_LUNGS
from training.data.lung_segmenter import LungSegmenter
from training.data.parallel import each_of
from training.evaluation.judging.altered import Pixels, film_rng, judge_altered, read_film
from training.evaluation.judging.films import JudgedSplit
from training.evaluation.measures.bootstrap import FigurePath
from training.evaluation.measures.confusion import Floats
from training.evaluation.measures.discrimination import macro_auc
from training.evaluation.measures.intervals import RESAMPLES, interval_figures
from training.evaluation.measures.masking import VARIANTS, masked_films, with_lungs_of
from training.evaluation.measures.within_source import within_source_auc

WHOLE = "whole film"
EXCHANGED = "lungs exchanged"


def measure_masked_films(
    predictor: Predictor,
    split: JudgedSplit,
    lungs: LungSegmenter,
    *,
    threads: int,
    seed: int,
    resamples: int = RESAMPLES,
) -> dict[str, Any] | None:
    """Macro AUC, and AUC of each pair within each source, of whole and masked films.

    The masks are those of `masking.masked_films`, and EXCHANGED: the lungs of another film, drawn at random whatever its class,
    stand in this film's surroundings. Its AUC is taken for the class of the surroundings (0.5 if they say nothing), and in
    `exchanged_lungs_macro_auc` for the class of the lungs that it now holds. Films with less lung than SMALLEST_LUNGS are left
    out: hiding a part of a lung would leave the rest to be read. None if fewer than two classes are left.
    """
    found = _films_with_lungs([each.film for each in split.judged], lungs, predictor.manifest.preprocess, threads)
    films = [each.film for each, has in zip(split.judged, found, strict=True) if has]
    if len({film.finding for film in films}) < 2:
        return None
    donors = _donors(films, seed)

    def alter(film: FilmFile, pixels: Pixels) -> Mapping[str, Pixels]:
        outline = lungs.outline(pixels)
        theirs = read_film(donors[film.relative], predictor.manifest.preprocess).pixels
        return {
            WHOLE: pixels,
            **masked_films(pixels, outline, film_rng(seed, film.relative)),
            EXCHANGED: with_lungs_of(pixels, outline, theirs, lungs.outline(theirs)),
        }

    probabilities = judge_altered(predictor, films, alter, threads=threads, title="Judging masked films")
    judgements = split.judgements()
    labels = judgements.labels[found]
    sources, groups = ([names[index] for index in np.flatnonzero(found)] for names in (judgements.sources, judgements.groups))
    labels_of_lungs = np.array([FINDINGS.index(donors[film.relative].finding) for film in films])

    def statistics(weights: Floats) -> dict[FigurePath, Floats]:
        figures: dict[FigurePath, Floats] = {
            ("exchanged_lungs_macro_auc",): macro_auc(labels_of_lungs, probabilities[EXCHANGED], weights)
        }
        for name, each in probabilities.items():
            figures["variants", name, "macro_auc"] = macro_auc(labels, each, weights)
            for path, area in within_source_auc(labels, each, sources, weights).items():
                figures["variants", name, "within_source", *path] = area
        return figures

    measured = interval_figures(statistics, groups, seed=seed, resamples=resamples)
    for name, each in probabilities.items():
        shares = np.bincount(each.argmax(axis=1), minlength=len(FINDINGS)) / len(each)
        called = {finding.value: round(float(share), 6) for finding, share in zip(FINDINGS, shares, strict=True)}
        measured["variants"][name]["called_share"] = called
    return {"films": len(films), "left_out": int((~found).sum()), **measured}


def draw_masked_examples(
    split: JudgedSplit, lungs: LungSegmenter, spec: PreprocessSpec, path: Path, *, seed: int, films_per_class: int = 2
) -> None:
    """Films of each class and their masked variants as one PNG, rows of films. Shows patients: for local eyes only."""
    films = [each.film for each in split.judged]
    chosen = [film for finding in FINDINGS for film in [film for film in films if film.finding is finding][:films_per_class]]
    rows = []
    for film in chosen:
        pixels = read_film(film, spec).pixels
        outline = lungs.outline(pixels)
        variants = (
            [pixels, *masked_films(pixels, outline, film_rng(seed, film.relative)).values()] if outline.any() else [pixels]
        )
        row = np.hstack([resize_stretched(each, spec.image_size_px) for each in variants])
        rows.append(np.pad(row, ((0, 0), (0, (1 + len(VARIANTS)) * spec.image_size_px - row.shape[1]))))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(".png", np.vstack(rows))[1].tobytes())


def _films_with_lungs(
    films: Sequence[FilmFile], lungs: LungSegmenter, spec: PreprocessSpec, threads: int
) -> npt.NDArray[np.bool_]:
    def has_lungs(film: FilmFile) -> bool:
        return bool(lungs.outline(read_film(film, spec).pixels).mean() >= SMALLEST_LUNGS)

    return np.array(list(each_of(films, has_lungs, threads=threads, title="Outlining lungs")), dtype=bool)


def _donors(films: Sequence[FilmFile], seed: int) -> dict[str, FilmFile]:
    """Path of each film -> another film, of any class: so lungs and surroundings tell nothing of each other."""
    steps = (int(film_rng(seed, film.relative).integers(1, len(films))) for film in films)
    return {
        film.relative: films[(index + step) % len(films)] for index, (film, step) in enumerate(zip(films, steps, strict=True))
    }
