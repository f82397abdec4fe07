"""Outlier detection as a part of the evaluation: what the service flags of chest films, other pictures and spoilt films."""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from service.model.findings import FINDINGS
from service.model.model import Model
from service.model.observer import Observer
from training.data.parallel import each_of
from training.evaluation.evidence import Evidence
from training.evaluation.measures.bootstrap import plain
from training.evaluation.measures.discrimination import auc
from training.evaluation.part import Measured, Part
from training.evaluation.parts.outliers.pictures import (
    ANYTHING,
    FAULTS,
    REFUSED,
    SCORE,
    Answered,
    Picture,
    answers_of_films,
    ask,
    pictures_of_folder,
    spoilt_films,
)
from training.evaluation.report.tables import number
from training.tables import markdown_table, percent

# Share of chest films flagged at which the true positive rate is customarily given.
FALSE_POSITIVE_RATE = 0.05


def _measure(evidence: Evidence) -> Measured:
    """What is flagged of the chest films of the evaluated split, of other pictures if there are any, and of spoilt films.

    A refused picture counts as flagged, and its score as the highest. Raises DatasetError for a folder of other pictures whose
    manifest.csv cannot be used.
    """
    spec = evidence.bundle.manifest.outliers
    if spec is None:
        return {"available": False}
    model = Model(evidence.bundle, evidence.predictor, Observer.from_bundle(evidence.bundle))

    def answers(pictures: Sequence[Picture], what: str) -> list[Answered]:
        title = f"Looking for outliers, {what}"
        return list(each_of(pictures, partial(ask, model), threads=evidence.threads, title=title, unit="picture"))

    split, manifest = evidence.judged(), evidence.bundle.manifest
    chest = answers_of_films(split, manifest)
    other = answers(pictures_of_folder(evidence.not_chest), "other pictures") if evidence.not_chest else []
    films = [judged.film for judged in split.judged]
    spoilt = answers(spoilt_films(films, manifest.preprocess, evidence.bootstrap.seed), "spoilt films")
    names = [SCORE, *spec.image_bounds, REFUSED, ANYTHING]
    return {
        "available": True,
        "validation": {"films": spec.films, "flagged_share": spec.flagged_share},
        "chest": _shares(chest, names, ("class", "source")),
        "not_chest": _shares(other, names, ("kind",)) | _separation(chest, other) if other else None,
        "spoilt": _shares(spoilt, names, ("fault",))["per_fault"],
    }


def _paragraphs(measured: Measured) -> list[str]:
    if not measured["available"]:
        return [
            "This bundle holds no statistics of its training films: whatever picture is sent gets one of the three findings, "
            "and none is flagged as out of distribution, as not a frontal chest film or for its quality."
        ]
    chest, other = measured["chest"], measured["not_chest"]
    validation = measured["validation"]
    paragraphs = [
        f"Of {chest['n']} chest films {percent(chest['flagged'][ANYTHING])} are flagged. The thresholds were chosen on "
        f"{validation['films']} validation films, of which they flag {percent(validation['flagged_share'])}. In the tables: "
        "the share that each measure flags when it stands alone, and the share that anything flags.",
    ]
    if other is None:
        paragraphs.append("There were no other pictures to compare them with.")
    else:
        paragraphs.append(
            f"Of {other['n']} other pictures {percent(other['flagged'][ANYTHING])} are flagged. The embedding's score alone "
            f"tells them from chest films with an AUC of {number(other['auc'])}; with a threshold that flags "
            f"{percent(FALSE_POSITIVE_RATE)} of the chest films, it flags {percent(other['tpr_at_5_percent_fpr'])} of them."
        )
        if other["missed"]:
            paragraphs.append(f"Not flagged: {', '.join(other['missed'])}.")
    rows = [("chest films", chest)]
    rows += [(f"- {name}", each) for table in ("per_class", "per_source") for name, each in chest[table].items()]
    if other is not None:
        rows += [("other pictures", other), *((f"- {kind}", each) for kind, each in other["per_kind"].items())]
    paragraphs += [_table("pictures", rows)]
    paragraphs += ["### Spoilt films", "Films of the split, spoilt on purpose:", _table("fault", measured["spoilt"].items())]
    refused = {**chest["refused"], **(other["refused"] if other else {})}
    if refused:
        paragraphs += [
            "### Refused by the service",
            "\n".join(f"- {name}: {reason}" for name, reason in sorted(refused.items())),
        ]
    return paragraphs


def _limits(measured: Measured) -> tuple[str, ...]:
    if not measured["available"]:
        return ("Nothing tells films from other pictures: whatever is sent gets one of the three findings, without a flag.",)
    flagged = measured["chest"]["flagged"][ANYTHING]
    return (
        f"A picture that is no frontal chest film gets one of the three findings, with a flag if that is noticed, as it is of "
        f"{percent(flagged)} of the chest films wrongly. A film without a flag may still be unlike those trained on.",
    )


def _shares(answers: Sequence[Answered], names: Sequence[str], tables: Sequence[str]) -> dict[str, Any]:
    """Share of the pictures that each name flags, overall and by row of each table, and what was refused."""
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


def _flagged(answers: Sequence[Answered], names: Sequence[str]) -> dict[str, Any]:
    return {
        "n": len(answers),
        "flagged": {name: plain(np.mean([name in each.flags for each in answers])) for name in names},
    }


def _separation(chest: Sequence[Answered], other: Sequence[Answered]) -> dict[str, Any]:
    """How well the score of the embedding alone separates the two, and which pictures are not flagged."""
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


def _table(first: str, rows: Iterable[tuple[str, Mapping[str, Any]]]) -> str:
    rows = list(rows)
    names = [name for name in rows[0][1]["flagged"] if any(each["flagged"][name] for _, each in rows) or name == ANYTHING]
    header = (first, "n", *(name.replace("_", " ") for name in names))
    cells = [(row, str(each["n"]), *(percent(each["flagged"][name]) for name in names)) for row, each in rows]
    return markdown_table(header, cells)


PART = Part("outliers", "Pictures unlike the training films", _measure, _paragraphs, limits=_limits)
