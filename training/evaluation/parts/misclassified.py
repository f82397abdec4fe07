"""The misclassified films, most confident first, with their Grad-CAM maps.

The films are in one local page, which stays on this machine; metrics.json and the report hold counts only.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

import numpy as np
from tqdm import tqdm

from service.film.preprocessing import decode, to_model_input
from service.model.decision import ReviewReason
from service.model.findings import FINDINGS, Finding
from service.model.grad_cam import GradCam
from service.model.heatmap import overlay_png
from training.evaluation.evidence import Evidence
from training.evaluation.judging.films import JudgedFilm
from training.evaluation.measures.bootstrap import plain
from training.evaluation.part import Measured, Part
from training.evaluation.parts.operating_points import decide_films
from training.evaluation.report.local_page import film_figure, write_local_page
from training.evaluation.report.tables import number
from training.tables import markdown_table

FILE_NAME = "misclassified.html"

# From this probability on, a reader would hardly doubt the finding.
CONFIDENT = 0.9

# A misclassified film, and the service's reasons to send it to a person.
Wrong = tuple[JudgedFilm, tuple[ReviewReason, ...]]


def _measure(evidence: Evidence) -> Measured:
    """Counts of the errors; the films themselves are written into `evidence.local`."""
    split = evidence.judged()
    decisions = decide_films(split, evidence.bundle.manifest)
    wrong: list[Wrong] = [
        (film, decision.review_reasons)
        for film, decision in zip(split.judged, decisions, strict=True)
        if _called(film) is not film.film.finding
    ]
    wrong.sort(key=lambda each: -each[0].probabilities.max())
    _write_page(evidence, wrong)
    by_error: dict[tuple[Finding, Finding], list[JudgedFilm]] = defaultdict(list)
    for film, _ in wrong:
        by_error[film.film.finding, _called(film)].append(film)
    confident = [reasons for film, reasons in wrong if film.probabilities.max() >= CONFIDENT]
    return {
        "films": len(wrong),
        "judged": len(split.judged),
        "confident_from": CONFIDENT,
        "confident": len(confident),
        "confident_without_review": sum(not reasons for reasons in confident),
        "without_review": sum(not reasons for _, reasons in wrong),
        "by_error": [
            {
                "truth": truth.value,
                "called": called.value,
                "films": len(films),
                "median_confidence": plain(np.median([film.probabilities.max() for film in films])),
                "sources": dict(Counter(film.film.source for film in films).most_common()),
            }
            for (truth, called), films in sorted(by_error.items(), key=lambda item: -len(item[1]))
        ],
    }


def _paragraphs(values: Measured) -> list[str]:
    if not values["films"]:
        return [f"None of {values['judged']} films."]
    rows = [
        (
            f"{each['truth']} called {each['called']}",
            str(each["films"]),
            number(each["median_confidence"]),
            ", ".join(f"{source} {films}" for source, films in each["sources"].items()),
        )
        for each in values["by_error"]
    ]
    return [
        f"{values['films']} of {values['judged']} films; {values['without_review']} of them were not sent to a person. On "
        f"{values['confident']} the wrong finding had a probability of at least {values['confident_from']}; "
        f"{values['confident_without_review']} of these were not sent to a person. Some labels are wrong instead: see the "
        "sources among the limits in the model card.",
        markdown_table(("error", "films", "median confidence", "sources"), rows),
    ]


def _called(film: JudgedFilm) -> Finding:
    return FINDINGS[int(film.probabilities.argmax())]


def _write_page(evidence: Evidence, wrong: Sequence[Wrong]) -> None:
    manifest = evidence.bundle.manifest
    write_local_page(
        evidence.local / FILE_NAME,
        f"Misclassified films, {manifest.name} {manifest.version}, {evidence.split} split",
        f"{len(wrong)} of {len(evidence.judged().judged)} films, most confident first. Left the film, right what speaks for "
        "the finding it was called (Grad-CAM, red is strongest).",
        _figures(evidence, wrong),
    )


def _figures(evidence: Evidence, wrong: Sequence[Wrong]) -> Iterator[str]:
    if not wrong:
        return
    grad_cam, spec = GradCam.from_bundle(evidence.bundle), evidence.bundle.manifest.preprocess
    for film, reasons in tqdm(wrong, desc="Explaining misclassified films", unit="film", disable=None):
        radiograph = decode(film.film.path.read_bytes(), spec)
        features = evidence.predictor.predict(to_model_input(radiograph, spec)[None], ("features",))["features"][0]
        called = _called(film)
        caption = (
            f"<b>{film.film.finding.value}</b> called <b>{called.value}</b>, {film.probabilities.max():.3f}",
            ", ".join(f"{f.value} {p:.3f}" for f, p in zip(FINDINGS, film.probabilities, strict=True)),
            f"sent to a person ({', '.join(reasons)})" if reasons else "not sent to a person",
        )
        overlay = overlay_png(radiograph.pixels, grad_cam.grid(features, called))
        yield film_figure(radiograph.pixels, overlay, called.value, caption, f"{film.film.source}: {film.film.relative}")


PART = Part("misclassified", "Misclassified films", _measure, _paragraphs, in_card=False)
