"""The bundle on corrupted films (noise, exposure, geometry) and under adversarial attacks (FGSM, PGD)."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor
from tqdm import tqdm

from service.film.arrays import GreyPixels
from service.film.preprocessing import to_model_input
from service.model.findings import FINDINGS, Finding
from training.data.folder import FilmFile
from training.evaluation.evidence import Evidence
from training.evaluation.judging.adversarial import PGD_STEPS, fgsm, pgd, random_noise
from training.evaluation.judging.altered import film_rng, judge_altered, read_film
from training.evaluation.judging.corruptions import CORRUPTIONS, LEVELS
from training.evaluation.measures.bootstrap import MetricPath, mean_over_films
from training.evaluation.measures.confusion import Floats
from training.evaluation.measures.discrimination import macro_auc
from training.evaluation.measures.metrics import Judgements
from training.evaluation.part import Measured, Part
from training.evaluation.report.tables import Values, number, with_interval
from training.plots import height_of, new_figure, save
from training.tables import markdown_table, picture

# Two to three minutes on two cores: 51 runs of the graph for each film, 32 gradients for each attacked film.
FILMS = 240
ATTACKED_FILMS = 48

# Largest change of a pixel, in grey levels of 255. One is invisible on any screen, eight are barely visible.
EPSILONS = (1, 2, 4, 8)

PLOT_NAME = "robustness_corruptions.png"

_TUBERCULOSIS = FINDINGS.index(Finding.TUBERCULOSIS)
_CLEAN = "clean"
_BATCH = 8  # films attacked together: enough to fill two cores, small enough to show progress


def measure_robustness(
    evidence: Evidence, *, films: int = FILMS, attacked_films: int = ATTACKED_FILMS, epsilons: Sequence[int] = EPSILONS
) -> Measured:
    """Macro AUC, tuberculosis recall and accuracy under each corruption and attack, on stratified subsets of the split.

    films: number judged under each level of each corruption. attacked_films: number attacked within each of `epsilons` (grey
    levels). `attacks` is None without a network in PyTorch.
    """
    return {
        "corruptions": _measure_corruptions(evidence, films),
        "attacks": _measure_attacks(evidence, attacked_films, epsilons),
    }


def _measure_corruptions(evidence: Evidence, size: int) -> Measured:
    split = evidence.judged().stratified(size, evidence.bootstrap.seed)

    def damage(film: FilmFile, pixels: GreyPixels) -> Mapping[str, GreyPixels]:
        copies = {_CLEAN: pixels}
        for corruption in CORRUPTIONS:
            for level in range(1, LEVELS + 1):
                rng = film_rng(evidence.bootstrap.seed, f"{corruption.name} {film.relative}")
                copies[f"{corruption.name} {level}"] = corruption.apply(pixels, level, rng)
        return copies

    films, title = [each.film for each in split.judged], "Judging damaged films"
    probabilities = judge_altered(evidence.predictor, films, damage, threads=evidence.threads, title=title)
    measured = _measure_copies(split.judgements(), probabilities, evidence)
    return {
        "films": len(films),
        "clean": measured[_CLEAN],
        "kinds": {
            corruption.name: {
                "unit": corruption.unit,
                "strengths": list(corruption.strengths),
                "levels": [measured[f"{corruption.name} {level}"] for level in range(1, LEVELS + 1)],
            }
            for corruption in CORRUPTIONS
        },
    }


def _measure_attacks(evidence: Evidence, size: int, epsilons: Sequence[int]) -> Measured | None:
    network = evidence.network()
    if network is None:
        return None
    predictor, seed = evidence.predictor, evidence.bootstrap.seed
    split, spec = evidence.judged().stratified(size, seed), predictor.manifest.preprocess
    images, labels = (
        np.stack([to_model_input(read_film(each.film, spec), spec) for each in split.judged]),
        split.judgements().labels,
    )

    def logits(values: Tensor) -> Tensor:
        return network(values)[0]

    attacked = {_CLEAN: images}
    batches = [slice(start, start + _BATCH) for start in range(0, len(images), _BATCH)]
    for epsilon in tqdm(epsilons, desc="Attacking films", unit="epsilon", disable=None):
        attacked[f"noise {epsilon}"] = random_noise(images, epsilon, seed=seed)
        for name, attack in (("FGSM", fgsm), ("PGD", partial(pgd, seed=seed))):
            parts = [attack(logits, images[batch], labels[batch], epsilon) for batch in batches]
            attacked[f"{name} {epsilon}"] = np.concatenate(parts)
    probabilities = {
        name: np.concatenate([predictor.predict(image[None])["probabilities"] for image in each]).astype(np.float64)
        for name, each in tqdm(attacked.items(), desc="Judging attacked films", unit="set", disable=None)
    }
    measured = _measure_copies(split.judgements(), probabilities, evidence)
    kinds = {name: [measured[f"{name} {epsilon}"] for epsilon in epsilons] for name in ("noise", "FGSM", "PGD")}
    return {
        "films": len(images),
        "epsilons": list(epsilons),
        "unit": "grey levels of 255, L-infinity",
        "pgd_steps": PGD_STEPS,
        "clean": measured[_CLEAN],
        "kinds": kinds,
    }


def _measure_copies(judgements: Judgements, probabilities: Mapping[str, Floats], evidence: Evidence) -> dict[str, Any]:
    """The metrics of each copy of the films; probabilities: name of the copy -> float [N, C]."""
    labels = judgements.labels

    def statistics(weights: Floats) -> dict[MetricPath, Floats]:
        values: dict[MetricPath, Floats] = {}
        for name, each in probabilities.items():
            right = (each.argmax(axis=1) == labels).astype(float)
            values[name, "macro_auc"] = macro_auc(labels, each, weights)
            values[name, "tuberculosis_recall"] = mean_over_films(np.where(labels == _TUBERCULOSIS, right, np.nan), weights)
            values[name, "accuracy"] = mean_over_films(right, weights)
        return values

    return evidence.bootstrap.measure(statistics, judgements.groups)


def _paragraphs(values: Measured) -> list[str]:
    return [
        "### Damaged films",
        *_describe_corruptions(values["corruptions"]),
        "### Films changed on purpose",
        *_describe_attacks(values["attacks"]),
    ]


def _describe_corruptions(values: Values) -> list[str]:
    clean, kinds = values["clean"], values["kinds"]
    header = ("corruption", "strengths 1 to 5", *(f"AUC {level}" for level in range(1, LEVELS + 1)), "TB recall 5")
    rows = [
        (
            f"{name} ({each['unit']})",
            ", ".join(f"{strength:g}" for strength in each["strengths"]),
            *(number(level["macro_auc"]) for level in each["levels"]),
            number(each["levels"][-1]["tuberculosis_recall"]),
        )
        for name, each in kinds.items()
    ]
    rows.insert(0, ("none", "", *[number(clean["macro_auc"])] * LEVELS, number(clean["tuberculosis_recall"])))
    text = f"{values['films']} films of the split, drawn by class and source, damaged after decoding."
    if clean["macro_auc"] is not None:
        middle, strongest = (
            {name: clean["macro_auc"] - each["levels"][level]["macro_auc"] for name, each in kinds.items()}
            for level in (LEVELS // 2, LEVELS - 1)
        )
        worst, least = max(strongest, key=strongest.__getitem__), min(strongest, key=strongest.__getitem__)
        text += (
            f" Intact they give a macro AUC of {with_interval(clean, 'macro_auc')}. At the middle strength no corruption costs "
            f"more than {max(0.0, *middle.values()):.3f} of it; at the strongest, {worst} costs most ({strongest[worst]:.3f}) "
            f"and {least} least ({strongest[least]:.3f})."
        )
    return [markdown_table(header, rows), text, picture("Macro AUC and TB recall against strength", PLOT_NAME)]


def _describe_attacks(values: Values | None) -> list[str]:
    if values is None:
        return ["Not measured: the network's weights cannot be recovered from the graph."]
    rows = [
        (
            str(epsilon),
            *(number(values["kinds"][name][index][metric]) for name in values["kinds"] for metric in ("accuracy", "macro_auc")),
        )
        for index, epsilon in enumerate(values["epsilons"])
    ]
    clean = values["clean"]
    rows.insert(0, ("0", *[number(clean["accuracy"]), number(clean["macro_auc"])] * len(values["kinds"])))
    header = ("epsilon", *(f"{name} {metric}" for name in values["kinds"] for metric in ("accuracy", "AUC")))
    noise_smallest, pgd_smallest = values["kinds"]["noise"][0], values["kinds"]["PGD"][0]
    return [
        markdown_table(header, rows),
        f"{values['films']} films; epsilon in {values['unit']}; PGD takes {values['pgd_steps']} steps. The attacks are "
        "white-box: their gradients come from the bundle's own weights. The attacked films, rounded to grey levels, are judged "
        f"by the service's predictor. At epsilon {values['epsilons'][0]} random noise leaves an accuracy of "
        f"{noise_smallest['accuracy']:.3f}, PGD {pgd_smallest['accuracy']:.3f} (intact: {clean['accuracy']:.3f}). The bundle "
        "has no defence against changes made on purpose.",
    ]


def _draw(measured: Measured, folder: Path) -> None:
    """Macro AUC and TB recall against strength, one panel for each corruption."""
    values = measured["corruptions"]
    kinds = values["kinds"]
    figure = new_figure(12.0, 5.4)
    panels = figure.subplots(2, -(-len(kinds) // 2), sharey=True)
    lowest = 1.0
    for axes, (name, each) in zip(panels.flat, kinds.items(), strict=False):
        for key, label, colour in (("macro_auc", "macro AUC", "#2c7fb8"), ("tuberculosis_recall", "TB recall", "#d95f0e")):
            levels = [values["clean"], *each["levels"]]
            line = np.array([height_of(level[key]) for level in levels])
            bounds = np.array([[height_of(bound) for bound in level["interval_95"][key]] for level in levels])
            axes.plot(range(LEVELS + 1), line, "o-", color=colour, markersize=3, label=label)
            lowest = min(lowest, float(np.nanmin(bounds, initial=1.0)))
            axes.fill_between(range(LEVELS + 1), bounds[:, 0], bounds[:, 1], color=colour, alpha=0.15)
        axes.set_xticks(range(LEVELS + 1), ["0", *(f"{strength:g}" for strength in each["strengths"])], fontsize="small")
        axes.set_title(name)
        axes.set_xlabel(each["unit"], fontsize="small")
    panels.flat[0].set_ylim(lowest - 0.02, 1.02)
    panels.flat[0].legend(loc="lower left", fontsize="small")
    save(figure, folder / PLOT_NAME)


def _limits(values: Measured) -> list[str]:
    attacks = values["attacks"]
    if attacks is None:
        return []
    epsilon, broken = attacks["epsilons"][0], attacks["kinds"]["PGD"][0]["accuracy"]
    return [
        f"Changes of at most {epsilon} of 255 grey levels, made on purpose (PGD), bring the accuracy from "
        f"{attacks['clean']['accuracy']:.3f} to {broken:.3f}: films must come from a trusted path."
    ]


PART = Part("robustness", "Robustness", measure_robustness, _paragraphs, _draw, _limits)
