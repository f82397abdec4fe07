"""The bundle on films with a part hidden: how good is it without the lungs?"""

from collections.abc import Mapping, Sequence
from itertools import cycle
from pathlib import Path

import cv2
import numpy as np
from matplotlib.axes import Axes

from service.film.arrays import GreyPixels
from service.film.preprocessing import PreprocessSpec, resize_stretched
from service.model.findings import FINDINGS
from training.data.folder import FilmFile
from training.data.lung_regions import SMALLEST_LUNGS
from training.data.lung_segmenter import LungSegmenter
from training.data.parallel import each_of
from training.evaluation.evidence import Evidence
from training.evaluation.judging.altered import film_rng, judge_altered, read_film
from training.evaluation.judging.masking import (
    BORDER_ONLY,
    BORDER_SHARE,
    LUNGS_HIDDEN,
    OUTLINE_ALONE,
    VARIANTS,
    masked_films,
    with_lungs_of,
)
from training.evaluation.measures.bootstrap import MetricPath, without_intervals
from training.evaluation.measures.confusion import FilmMask, Floats
from training.evaluation.measures.discrimination import macro_auc, within_source_auc
from training.evaluation.part import Measured
from training.evaluation.report.tables import Values, number, with_interval
from training.plots import new_figure, save
from training.tables import markdown_table, picture

WHOLE = "whole film"
EXCHANGED = "lungs exchanged"

# Both of the plot and of the example films in the local folder.
FILE_NAME = "masked_films.png"

# In the picture of examples.
_FILMS_PER_CLASS = 2

# Macro AUC that signs outside the lungs (heart size, effusion over the diaphragm, drains) may account for.
_TOLERATED_WITHOUT_LUNGS = 0.7


def measure_masked_films(evidence: Evidence, lungs: LungSegmenter) -> Measured | None:
    """Macro AUC, and AUC of each two classes within each source, of whole films and of each masked variant.

    The variants are those of `masking.masked_films`, and EXCHANGED: each film with the lungs of another one, of any class. The
    AUC of EXCHANGED is for the class of the surroundings (0.5 if they tell nothing), `exchanged_lungs_macro_auc` for the class
    of the lungs. Films whose outlined lungs are smaller than SMALLEST_LUNGS are left out, since a part of a lung would stay
    visible. None if fewer than two classes are left.
    """
    predictor, split, seed = evidence.predictor, evidence.judged(), evidence.bootstrap.seed
    has_lungs = _have_lungs([each.film for each in split.judged], lungs, predictor.manifest.preprocess, evidence.threads)
    films = [each.film for each, has in zip(split.judged, has_lungs, strict=True) if has]
    if len({film.finding for film in films}) < 2:
        return None
    donors = _donors(films, seed)

    def alter(film: FilmFile, pixels: GreyPixels) -> Mapping[str, GreyPixels]:
        outline = lungs.outline(pixels)
        donor = read_film(donors[film.relative], predictor.manifest.preprocess).pixels
        return {
            WHOLE: pixels,
            **masked_films(pixels, outline, film_rng(seed, film.relative)),
            EXCHANGED: with_lungs_of(pixels, outline, donor, lungs.outline(donor)),
        }

    probabilities = judge_altered(predictor, films, alter, threads=evidence.threads, title="Judging masked films")
    judgements = split.only({film.relative for film in films}).judgements()
    labels, sources = judgements.labels, judgements.sources
    labels_of_lungs = np.array([FINDINGS.index(donors[film.relative].finding) for film in films])

    def statistics(weights: Floats) -> dict[MetricPath, Floats]:
        values: dict[MetricPath, Floats] = {
            ("exchanged_lungs_macro_auc",): macro_auc(labels_of_lungs, probabilities[EXCHANGED], weights)
        }
        for name, each in probabilities.items():
            values["variants", name, "macro_auc"] = macro_auc(labels, each, weights)
            for path, area in within_source_auc(labels, each, sources, weights).items():
                values["variants", name, "within_source", *path] = area
        return values

    measured = evidence.bootstrap.measure(statistics, judgements.groups)
    return {"films": len(films), "left_out": int((~has_lungs).sum()), **measured}


def draw_masked_examples(evidence: Evidence, lungs: LungSegmenter) -> None:
    """Films of each class with their masked variants as one PNG in `evidence.local`, one row a film. Shows patients."""
    spec, seed = evidence.predictor.manifest.preprocess, evidence.bootstrap.seed
    films = [each.film for each in evidence.judged().judged]
    of_class = ([film for film in films if film.finding is finding] for finding in FINDINGS)
    rows = []
    for film in (film for members in of_class for film in members[:_FILMS_PER_CLASS]):
        pixels = read_film(film, spec).pixels
        outline = lungs.outline(pixels)
        variants = [pixels]
        if outline.any():
            variants += masked_films(pixels, outline, film_rng(seed, film.relative)).values()
        row = np.hstack([resize_stretched(each, spec.image_size_px) for each in variants])
        # Without an outline the row has the film alone; pad it to the width of the others.
        rows.append(np.pad(row, ((0, 0), (0, (1 + len(VARIANTS)) * spec.image_size_px - row.shape[1]))))
    evidence.local.mkdir(parents=True, exist_ok=True)
    (evidence.local / FILE_NAME).write_bytes(cv2.imencode(".png", np.vstack(rows))[1].tobytes())


def describe_masked_films(values: Values | None) -> list[str]:
    """A table of the variants, and what it shows."""
    if values is None:
        return ["Not measured: this needs a lung segmenter, and lungs found in films of two classes."]
    variants = values["variants"]
    pairs = _pairs_of(values)
    rows = [
        (
            name,
            with_interval(each, "macro_auc"),
            *(number(each["within_source"][source][pair]) for source, pair in pairs),
        )
        for name, each in variants.items()
    ]
    whole = variants[WHOLE]["macro_auc"]
    hidden = [variants[name]["macro_auc"] for name in LUNGS_HIDDEN]
    left = (max(hidden) - 0.5) / (whole - 0.5) if whole > 0.5 else float("nan")
    return [
        markdown_table(("film", "macro AUC (95 % interval)", *(f"{source}: {pair}" for source, pair in pairs)), rows),
        f"{values['films']} films; {values['left_out']} more are left out, because no complete lungs were found in them. With "
        f"the lungs hidden the bundle has a macro AUC of {min(hidden):.3f} to {max(hidden):.3f}, depending on the fill, "
        f"against {whole:.3f} on whole films: {left:.0%} of what it scores above chance (0.5) is left without a lung. The "
        f"outer ring alone ({BORDER_SHARE:.0%} of each side) gives {variants[BORDER_ONLY]['macro_auc']:.3f}, the outline of "
        f"the lungs alone {variants[OUTLINE_ALONE]['macro_auc']:.3f}. A part of what is left is legitimate: true signs outside "
        "the lungs.",
        f"With the lungs of one film in the surroundings of another (`{EXCHANGED}`), the macro AUC is "
        f"{with_interval(variants[EXCHANGED], 'macro_auc')} for the class of the surroundings and "
        f"{with_interval(values, 'exchanged_lungs_macro_auc')} for the class of the lungs: {_heavier(values)}.",
        picture("AUC on masked films", FILE_NAME),
    ]


def _pairs_of(values: Values) -> list[tuple[str, str]]:
    """(source, "Positive vs Negative") of every two classes within a source."""
    by_source = values["variants"][WHOLE].get("within_source", {})
    return [(source, pair) for source, each in by_source.items() for pair in without_intervals(each)]


def _heavier(values: Values) -> str:
    """Whether lungs or surroundings weigh more, if their intervals say so."""
    surroundings = values["variants"][EXCHANGED]["interval_95"]["macro_auc"]
    lungs = values["interval_95"]["exchanged_lungs_macro_auc"]
    if None in (*surroundings, *lungs) or (lungs[0] <= surroundings[1] and surroundings[0] <= lungs[1]):
        return "which of them weighs more cannot be told"
    return f"the {'lungs' if lungs[0] > surroundings[1] else 'surroundings'} weigh more"


def draw_masked_films(values: Values, folder: Path) -> None:
    """Macro AUC of each variant as a bar with its interval, AUC within each source as markers."""
    variants = values["variants"]
    names, pairs = list(variants), _pairs_of(values)
    figure = new_figure(8.0, 4.6)
    axes: Axes = figure.subplots()
    positions = np.arange(len(names))
    areas = [variants[name]["macro_auc"] for name in names]
    intervals = np.array([variants[name]["interval_95"]["macro_auc"] for name in names])
    errors = np.abs(intervals.T - areas)  # distances to the lower and the upper bound
    axes.bar(positions, areas, 0.7, color="#9ecae1", label="macro AUC", yerr=errors, capsize=3)
    for (source, pair), marker in zip(pairs, cycle("osD^vP*X"), strict=False):
        within_source = [variants[name]["within_source"][source][pair] for name in names]
        axes.plot(positions, within_source, marker, markersize=5, label=f"{source}: {pair}")
    axes.axhline(0.5, linestyle="--", color="grey", linewidth=1)
    axes.set_xticks(positions, names, rotation=30, ha="right")
    axes.set(ylabel="AUC", ylim=(0.3, 1.02), title=f"Parts of the film hidden, {values['films']} films")
    figure.legend(loc="outside lower center", ncols=3, fontsize="small")
    save(figure, folder / FILE_NAME)


def limit_of_masked_films(values: Values) -> str:
    """A sentence for the model card."""
    hidden = [values["variants"][name]["macro_auc"] for name in LUNGS_HIDDEN]
    if max(hidden) <= _TOLERATED_WITHOUT_LUNGS:
        return f"With the lungs hidden, the macro AUC falls to {min(hidden):.3f} to {max(hidden):.3f}."
    return (
        f"With the lungs hidden, the macro AUC is still {min(hidden):.3f} to {max(hidden):.3f} (whole films: "
        f"{values['variants'][WHOLE]['macro_auc']:.3f}): much of the score does not come from the lungs."
    )


def _have_lungs(films: Sequence[FilmFile], lungs: LungSegmenter, spec: PreprocessSpec, threads: int) -> FilmMask:
    """Whether the outlined lungs cover at least SMALLEST_LUNGS of each film, bool [N]."""

    def has_lungs(film: FilmFile) -> bool:
        return bool(lungs.outline(read_film(film, spec).pixels).mean() >= SMALLEST_LUNGS)

    return np.array(list(each_of(films, has_lungs, threads=threads, title="Outlining lungs")), dtype=bool)


def _donors(films: Sequence[FilmFile], seed: int) -> dict[str, FilmFile]:
    """Path of each film -> a random other film of any class, so that the classes of lungs and surroundings are independent."""
    donors = {}
    for index, film in enumerate(films):
        step = int(film_rng(seed, film.relative).integers(1, len(films)))
        donors[film.relative] = films[(index + step) % len(films)]
    return donors
