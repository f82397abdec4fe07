"""The part `outliers`: what the service flags among chest films, other pictures and spoilt films."""

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

# Share of chest films flagged, at which it is customary to state the true positive rate.
FALSE_POSITIVE_RATE = 0.05


def _measure(evidence: Evidence) -> Measured:
    """Shares flagged of the chest films of the evaluated split, of other pictures if there are any, and of spoilt films.

    A refused picture counts as flagged, with the highest score. Raises DatasetError if manifest.csv of the other pictures
    cannot be used.
    """
    manifest = evidence.bundle.manifest
    if manifest.outliers is None:
        return {"available": False}
    model = Model(evidence.bundle, evidence.predictor, Observer.from_bundle(evidence.bundle))

    def answers(pictures: Sequence[Picture], kind: str) -> list[Answered]:
        title = f"Looking for outliers, {kind}"
        return list(each_of(pictures, partial(ask, model), threads=evidence.threads, title=title, unit="picture"))

    split = evidence.judged()
    chest = answers_of_films(split, manifest)
    other = answers(pictures_of_folder(evidence.not_chest), "other pictures") if evidence.not_chest else []
    films = [judged.film for judged in split.judged]
    spoilt = answers(spoilt_films(films, manifest.preprocess, evidence.bootstrap.seed), "spoilt films")
    flags = [SCORE, *manifest.outliers.image_bounds, REFUSED, ANYTHING]
    return {
        "available": True,
        "validation": {"films": manifest.outliers.films, "flagged_share": manifest.outliers.flagged_share},
        "chest": _shares(chest, flags, ("class", "source")),
        "not_chest": _shares(other, flags, ("kind",)) | _separation(chest, other) if other else None,
        "spoilt": _shares(spoilt, flags, ("fault",))["per_fault"],
    }


def _paragraphs(measured: Measured) -> list[str]:
    if not measured["available"]:
        return [
            "This bundle holds no statistics of its training films: every picture gets one of the three findings, and none is "
            "flagged as out of distribution, as not a frontal chest film or for its quality."
        ]
    chest, other = measured["chest"], measured["not_chest"]
    validation = measured["validation"]
    paragraphs = [
        f"Of {chest['n']} chest films {percent(chest['flagged'][ANYTHING])} are flagged. The thresholds were chosen on "
        f"{validation['films']} validation films, of which they flag {percent(validation['flagged_share'])}. The tables give "
        "the share that each measure would flag alone, and under `anything` the share that is flagged.",
    ]
    if other is None:
        paragraphs.append("There were no other pictures to compare them with.")
    else:
        paragraphs.append(
            f"Of {other['n']} other pictures {percent(other['flagged'][ANYTHING])} are flagged. The embedding's score alone "
            f"tells them from chest films with an AUC of {number(other['auc'])}; with a threshold that flags "
            f"{percent(FALSE_POSITIVE_RATE)} of the chest films, it flags {percent(other['tpr_at_5_percent_fpr'])} of the "
            "other pictures."
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
        "A picture that is no frontal chest film also gets one of the three findings, with a flag only if the service notices. "
        f"Of the chest films {percent(flagged)} are flagged so wrongly. A film without a flag may still be unlike the training "
        "films.",
    )


def _shares(answers: Sequence[Answered], flags: Sequence[str], categories: Sequence[str]) -> dict[str, Any]:
    """Share of the pictures with each flag, overall and by value of each category, and the refused pictures."""
    result = _flagged(answers, flags)
    for category in categories:
        values = sorted({each.categories[category] for each in answers}, key=_order)
        result[f"per_{category}"] = {
            value: _flagged([each for each in answers if each.categories[category] == value], flags) for value in values
        }
    result["refused"] = {each.name: each.refusal for each in answers if each.refusal}
    return result


def _order(value: str) -> tuple[int, str]:
    """Sort key: findings and faults in their usual order, other values by name."""
    usual = [*(finding.value for finding in FINDINGS), *FAULTS]
    return (usual.index(value), "") if value in usual else (len(usual), value)


def _flagged(answers: Sequence[Answered], flags: Sequence[str]) -> dict[str, Any]:
    return {
        "n": len(answers),
        "flagged": {flag: plain(np.mean([flag in each.flags for each in answers])) for flag in flags},
    }


def _separation(chest: Sequence[Answered], other: Sequence[Answered]) -> dict[str, Any]:
    """How well the embedding's score alone separates the two, and which other pictures are not flagged."""
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


def _table(title: str, shares: Iterable[tuple[str, Mapping[str, Any]]]) -> str:
    """Shares with each flag, without the flags that no picture has. title: of the first column."""
    shares = list(shares)
    flags = [flag for flag in shares[0][1]["flagged"] if any(each["flagged"][flag] for _, each in shares) or flag == ANYTHING]
    header = (title, "n", *(flag.replace("_", " ") for flag in flags))
    rows = [(name, str(each["n"]), *(percent(each["flagged"][flag]) for flag in flags)) for name, each in shares]
    return markdown_table(header, rows)


PART = Part("outliers", "Pictures unlike the training films", _measure, _paragraphs, limits=_limits)
