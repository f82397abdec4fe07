"""Does the service tell chest films from other pictures, and notice spoilt films? By its own pipeline and decision."""

import csv
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from service.film.errors import InputError
from service.film.limits import DecodeLimits
from service.film.preprocessing import decode
from service.model.decision import DEFAULT_OPERATING_POINT, FILM_REASONS, Decision, Observed, decide, unusual_aspects
from service.model.findings import FINDINGS
from service.model.manifest import ModelManifest
from service.model.observer import Observer
from service.pipeline import Pipeline
from training.data.folder import MANIFEST_NAME, FilmFile
from training.data.parallel import each_of
from training.errors import DatasetError
from training.evaluation.judging.films import JudgedFilm
from training.evaluation.measures.discrimination import auc
from training.evaluation.measures.intervals import plain
from training.evaluation.part import Evidence, Measured, Part
from training.evaluation.report.tables import number
from training.plots import new_figure, save
from training.tables import markdown_table

HISTOGRAM_NAME = "outlier_scores.png"

# Names of what flags, beside those of image statistics: the score of the embedding, the service's refusal, and anything of all.
SCORE, REFUSED, ANYTHING = "score", "refused", "anything"

# Share of chest films flagged at which the true positive rate is customarily given.
FALSE_POSITIVE_RATE = 0.05

# One standard error is then 1.5 percentage points or less for rates near 5 or 95 %, and the four faults take seconds.
FAULTED_FILMS = 200

_HISTOGRAM_BINS = 40

Pixels = npt.NDArray[np.uint8]


def _blanked(film: Pixels) -> Pixels:
    mean = film.mean()
    return (mean + (film - mean) / 20).astype(np.uint8)


# What goes wrong on a film's way to a server: exchanged polarity, an exposure that left next to nothing, the cast of a lamp on
# a photographed film, and a film on its side.
FAULTS: Mapping[str, Callable[[Pixels], Pixels]] = {
    "inverted": lambda film: 255 - film,
    "blanked": _blanked,
    "tinted": lambda film: (film[:, :, None] * np.array([0.6, 0.8, 1.0])).astype(np.uint8),
    "rotated by 90 degrees": np.rot90,
}


@dataclass(frozen=True)
class _Picture:
    """name: for lists. rows: name of a table -> its row there. read: gives the bytes, when they are needed."""

    name: str
    rows: Mapping[str, str]
    read: Callable[[], bytes]


@dataclass(frozen=True)
class _Answered:
    """flags: what was unusual, by name. score: of the embedding; None for a refused picture, whose error class is `refusal`."""

    name: str
    rows: Mapping[str, str]
    flags: frozenset[str]
    score: float | None
    refusal: str | None = None


def measure_outliers(evidence: Evidence) -> Measured:
    """What is flagged, of chest films of the evaluated split, of other pictures if there are any, and of spoilt films.

    A refused picture counts as flagged, and as further out than any other. Raises DatasetError for a folder of other pictures
    whose manifest.csv cannot be used.
    """
    spec = evidence.bundle.manifest.outliers
    if spec is None:
        return {"available": False}
    pipeline = Pipeline(evidence.bundle, evidence.predictor, Observer.from_bundle(evidence.bundle), DecodeLimits())

    def answer(pictures: Sequence[_Picture], what: str) -> list[_Answered]:
        title = f"Looking for outliers, {what}"
        ask = partial(_ask, pipeline)
        return list(each_of(pictures, ask, threads=evidence.threads, title=title, unit="picture"))

    split = evidence.judged()
    chest = [_of_judged(judged, evidence.bundle.manifest) for judged in split.judged]
    chest += [_refused(refused.film.relative, _rows(refused.film), refused.reason) for refused in split.refused]
    other = answer(_read_not_chest(evidence.not_chest), "other pictures") if evidence.not_chest else []
    spoilt = answer(_spoil([judged.film for judged in split.judged], pipeline, evidence.seed), "spoilt films")
    names = [SCORE, *spec.image_bounds, REFUSED, ANYTHING]
    return {
        "available": True,
        "threshold": spec.threshold,
        "image_bounds": {name: bounds.model_dump() for name, bounds in spec.image_bounds.items()},
        "validation": {"films": spec.films, "flagged_share": spec.flagged_share},
        "chest": _shares(chest, names, ("class", "source")),
        "not_chest": _shares(other, names, ("kind",)) | _separation(chest, other) if other else None,
        "spoilt": _shares(spoilt, names, ("fault",))["per_fault"],
        "histogram": _histogram(chest, other, spec.threshold),
    }


def describe_outliers(measured: Measured) -> str:
    """As Markdown."""
    if not measured["available"]:
        return (
            "This bundle holds no statistics of its training films: whatever picture is sent gets one of the three findings, "
            "and none is flagged as out of distribution, as not a frontal chest film or for its quality."
        )
    chest, other = measured["chest"], measured["not_chest"]
    validation = measured["validation"]
    parts = [
        f"Of {chest['n']} chest films {_percent(chest['flagged'][ANYTHING])} are flagged. The thresholds were chosen on "
        f"{validation['films']} validation films, of which they flag {_percent(validation['flagged_share'])}. In the tables: "
        "the share that each measure flags when it stands alone, and the share that anything flags.",
    ]
    if other is None:
        parts.append("There were no other pictures to tell them from.")
    else:
        parts.append(
            f"Of {other['n']} other pictures {_percent(other['flagged'][ANYTHING])} are flagged. The embedding's score alone "
            f"tells them from chest films with an AUC of {number(other['auc'])}; with a threshold that flags "
            f"{_percent(FALSE_POSITIVE_RATE)} of the chest films, it flags {_percent(other['tpr_at_5_percent_fpr'])} of them."
        )
        if other["missed"]:
            parts.append(f"Not flagged: {', '.join(other['missed'])}.")
    rows = [("chest films", chest)]
    rows += [(f"- {name}", each) for table in ("per_class", "per_source") for name, each in chest[table].items()]
    if other is not None:
        rows += [("other pictures", other), *((f"- {kind}", each) for kind, each in other["per_kind"].items())]
    parts += [_table("pictures", rows), f"![Scores](figures/{HISTOGRAM_NAME})"]
    parts += ["### Spoilt films", "Films of the split, spoilt on purpose:", _table("fault", measured["spoilt"].items())]
    refused = {**chest["refused"], **(other["refused"] if other else {})}
    if refused:
        parts += ["### Refused by the service", "\n".join(f"- {name}: {reason}" for name, reason in sorted(refused.items()))]
    return "\n\n".join(parts)


def draw_outliers(measured: Measured, folder: Path) -> None:
    """The scores of films and other pictures, and the threshold, as one histogram; nothing for a bundle without statistics."""
    if not measured["available"]:
        return
    histogram = measured["histogram"]
    edges = np.array(histogram["edges"])
    figure = new_figure(6.4, 3.6)
    axes = figure.subplots()
    for name, label, colour in (("chest", "chest films", "#2c7fb8"), ("not_chest", "other pictures", "#d95f0e")):
        counts = np.array(histogram[name])
        if counts.sum():
            axes.stairs(counts / counts.sum(), edges, fill=True, alpha=0.6, color=colour, label=f"{label} ({counts.sum()})")
    axes.axvline(measured["threshold"], color="black", linestyle="--", linewidth=1, label="flagged above this")
    axes.set(xscale="log", xlabel="squared distance to the nearest class, per dimension", ylabel="share")
    axes.legend()
    folder.mkdir(parents=True, exist_ok=True)
    save(figure, folder / HISTOGRAM_NAME)


def _limits(measured: Measured) -> tuple[str, ...]:
    if not measured["available"]:
        return ("Nothing tells films from other pictures: whatever is sent gets one of the three findings, without a flag.",)
    flagged = measured["chest"]["flagged"][ANYTHING]
    return (
        f"A picture that is no frontal chest film gets one of the three findings, with a flag if that is noticed, as it is of "
        f"{_percent(flagged)} of the chest films wrongly. A film without a flag may still be unlike those trained on.",
    )


def _films(evidence: Evidence) -> float:
    """A spoilt film is written as a picture before it is judged; photographs are large."""
    others = len(_read_not_chest(evidence.not_chest)) if evidence.not_chest else 0
    return 1.2 * len(FAULTS) * min(FAULTED_FILMS, evidence.count()) + 4 * others


PART = Part(
    name="outliers",
    title="Pictures unlike the training films",
    measure=measure_outliers,
    describe=describe_outliers,
    draw=draw_outliers,
    limits=_limits,
    films=_films,
)


def _rows(film: FilmFile) -> dict[str, str]:
    return {"class": film.finding.value, "source": film.source}


def _of_judged(judged: JudgedFilm, manifest: ModelManifest) -> _Answered:
    decision = decide(judged.probabilities.tolist(), manifest, observed=judged.observed)
    return _answered(judged.film.relative, _rows(judged.film), judged.observed, decision, manifest)


def _ask(pipeline: Pipeline, picture: _Picture) -> _Answered:
    try:
        prediction = pipeline.predict(picture.read(), DEFAULT_OPERATING_POINT)
    except InputError as fault:
        return _refused(picture.name, picture.rows, type(fault).__name__)
    return _answered(picture.name, picture.rows, prediction.observed, prediction.decision, pipeline.manifest)


def _refused(name: str, rows: Mapping[str, str], reason: str) -> _Answered:
    return _Answered(name, rows, frozenset({REFUSED, ANYTHING}), None, reason)


def _answered(name: str, rows: Mapping[str, str], observed: Observed, decision: Decision, manifest: ModelManifest) -> _Answered:
    """What each measure flags when it is all that was observed, and what the decision makes of everything."""
    alone: dict[str, Observed] = {statistic: Observed(image={statistic: value}) for statistic, value in observed.image.items()}
    measures = {SCORE: Observed(outlier_score=observed.outlier_score), **alone}
    flags = {measure for measure, seen in measures.items() if manifest.outliers and unusual_aspects(seen, manifest.outliers)}
    if set(FILM_REASONS) & set(decision.review_reasons):
        flags.add(ANYTHING)
    return _Answered(name, rows, frozenset(flags), observed.outlier_score)


def _read_not_chest(folder: Path) -> list[_Picture]:
    """The pictures that manifest.csv (columns path, kind) of the folder names, in its order."""
    manifest = folder / MANIFEST_NAME
    try:
        with manifest.open(encoding="utf-8-sig", newline="") as lines:
            rows = list(csv.DictReader(lines, strict=True))
    except (OSError, UnicodeDecodeError, csv.Error) as fault:
        raise DatasetError(f"{manifest} cannot be read as CSV in UTF-8 ({fault}); it must list the pictures.") from fault
    if not rows or any(not row.get(column) for row in rows for column in ("path", "kind")):
        raise DatasetError(f"{manifest} must have a path and a kind for each picture; add what is missing.")
    for row in rows:
        if not (folder / row["path"]).is_file():
            raise DatasetError(f"{manifest} names {row['path']}, which is not there; restore the picture or delete its line.")
    return [_Picture(row["path"], {"kind": row["kind"]}, (folder / row["path"]).read_bytes) for row in rows]


def _spoil(films: Sequence[FilmFile], pipeline: Pipeline, seed: int) -> list[_Picture]:
    """`FAULTED_FILMS` of the films, or all if there are fewer, with each fault."""
    count = min(FAULTED_FILMS, len(films))
    chosen = sorted(np.random.default_rng(seed).choice(len(films), size=count, replace=False))

    def picture(film: FilmFile, fault: str) -> _Picture:
        def read() -> bytes:
            pixels = FAULTS[fault](decode(film.path.read_bytes(), pipeline.manifest.preprocess).pixels)
            return cv2.imencode(".png", np.ascontiguousarray(pixels))[1].tobytes()

        return _Picture(film.relative, {"fault": fault}, read)

    return [picture(films[index], fault) for fault in FAULTS for index in chosen]


def _shares(answers: Sequence[_Answered], names: Sequence[str], tables: Sequence[str]) -> dict[str, Any]:
    """Share of the pictures that each name flags, overall and by row of each table; what was refused, and what was missed."""
    result = _flagged(answers, names)
    for table in tables:
        rows = sorted({each.rows[table] for each in answers}, key=_row_order)
        result[f"per_{table}"] = {row: _flagged([each for each in answers if each.rows[table] == row], names) for row in rows}
    result["refused"] = {each.name: each.refusal for each in answers if each.refusal}
    return result


def _row_order(name: str) -> tuple[int, str]:
    """Findings and faults in their usual order, others by name."""
    usual = [*(finding.value for finding in FINDINGS), *FAULTS]
    return (usual.index(name), "") if name in usual else (len(usual), name)


def _flagged(answers: Sequence[_Answered], names: Sequence[str]) -> dict[str, Any]:
    return {
        "n": len(answers),
        "flagged": {name: plain(np.mean([name in each.flags for each in answers])) for name in names},
    }


def _separation(chest: Sequence[_Answered], other: Sequence[_Answered]) -> dict[str, Any]:
    """How well the score of the embedding alone tells the two apart, whatever its threshold; and which pictures get through."""
    highest = max((each.score for each in (*chest, *other) if each.score is not None), default=0.0)
    of_chest, of_other = (
        np.array([highest + 1 if each.score is None else each.score for each in answers]) for answers in (chest, other)
    )
    is_other = np.repeat([False, True], [len(of_chest), len(of_other)])
    return {
        "auc": plain(auc(is_other, np.concatenate([of_chest, of_other]))),
        "tpr_at_5_percent_fpr": plain(np.mean(of_other > np.quantile(of_chest, 1 - FALSE_POSITIVE_RATE))),
        "missed": [each.name for each in other if ANYTHING not in each.flags],
    }


def _histogram(chest: Sequence[_Answered], other: Sequence[_Answered], threshold: float) -> dict[str, Any]:
    """Counts of scores between edges at equal ratios; refused pictures have none."""
    scores = {
        name: np.array([each.score for each in answers if each.score is not None], np.float64)
        for name, answers in (("chest", chest), ("not_chest", other))
    }
    every = np.concatenate([*scores.values(), [threshold]])
    edges = np.geomspace(every.min() * 0.99, every.max() * 1.01, _HISTOGRAM_BINS + 1)
    return {"edges": [plain(edge) for edge in edges]} | {
        name: np.histogram(values, edges)[0].tolist() for name, values in scores.items()
    }


def _table(first: str, rows: Iterable[tuple[str, Mapping[str, Any]]]) -> str:
    rows = list(rows)
    names = [name for name in rows[0][1]["flagged"] if any(each["flagged"][name] for _, each in rows) or name == ANYTHING]
    header = (first, "n", *(name.replace("_", " ") for name in names))
    cells = [(row, str(each["n"]), *(_percent(each["flagged"][name]) for name in names)) for row, each in rows]
    return markdown_table(header, cells)


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
