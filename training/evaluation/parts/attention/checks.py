"""Checks of the maps: does the prediction depend on what a map marks, and does the map depend on the weights?

The first is measured by deletion and insertion, the second by randomising weights, the sanity check of Adebayo et al.
(arXiv:1810.03292): a map that stays the same with random weights shows edges of the film, not the model's reasons.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from service.film.arrays import GreyPixels, Grid
from service.model.findings import FINDINGS
from service.model.grad_cam import GradCam
from training.data.parallel import each_of
from training.evaluation.evidence import Evidence
from training.evaluation.judging.altered import film_rng
from training.evaluation.measures.attention_maps import deletion_and_insertion, random_grid, rank_correlation
from training.evaluation.measures.bootstrap import MetricPath, mean_over_films, plain
from training.evaluation.measures.confusion import Floats
from training.evaluation.part import Measured
from training.evaluation.parts.attention.maps import Explained
from training.evaluation.report.tables import Values, number, with_interval
from training.network.classifier import ChestXrayNetwork
from training.tables import markdown_table

_CURVES = ("deletion", "insertion")

# A mean correlation up to this can come from the similar position of the lungs in all films.
_NEGLIGIBLE_CORRELATION = 0.2


def measure_curves(explained: Sequence[Explained], evidence: Evidence) -> Measured:
    """Areas under both curves with Grad-CAM's map (`grad_cam`) and a random one (`random`), and the paired `gain`."""
    bootstrap, groups = evidence.bootstrap, [each.group for each in explained]

    def areas_of(each: Explained) -> tuple[tuple[float, float], tuple[float, float]]:
        control = random_grid(each.grid.shape, film_rng(bootstrap.seed, each.film.relative))

        def score(images: GreyPixels) -> Floats:
            return evidence.predictor.predict(images)["probabilities"][:, each.predicted].astype(np.float64)

        return deletion_and_insertion(each.image, each.grid, score), deletion_and_insertion(each.image, control, score)

    # [N, 2 maps, 2 curves]
    areas = np.array(list(each_of(explained, areas_of, threads=evidence.threads, title="Deleting and inserting")))

    def statistics(weights: Floats) -> dict[MetricPath, Floats]:
        return {
            (grid, curve): mean_over_films(areas[:, row, column], weights)
            for row, grid in enumerate(("grad_cam", "random"))
            for column, curve in enumerate(_CURVES)
        }

    def gain(weights: Floats) -> dict[MetricPath, Floats]:
        values = statistics(weights)
        return {
            ("gain", "deletion"): values["random", "deletion"] - values["grad_cam", "deletion"],
            ("gain", "insertion"): values["grad_cam", "insertion"] - values["random", "insertion"],
        }

    measured = bootstrap.measure(statistics, groups)
    bootstrap.measure(gain, groups, into=measured, lowest=-1.0)
    return {"films": len(explained), **measured}


def describe_curves(values: Values) -> list[str]:
    """A table of the areas, and what it shows."""
    rows = [
        (title, *(with_interval(values[grid], curve) for curve in _CURVES))
        for grid, title in (("grad_cam", "Grad-CAM"), ("random", "random map"))
    ]
    gains = values["gain"]
    rows.append(("gain, film by film", *(with_interval(gains, curve) for curve in _CURVES)))
    verdicts = {
        2: "Both favour Grad-CAM: what it marks matters more to the prediction than what a random map marks.",
        1: "Only one of them favours Grad-CAM beyond chance: it marks a part of what matters.",
        0: "Neither favours Grad-CAM beyond chance: these films do not show that what it marks matters to the prediction.",
    }
    favourable = sum(gains["interval_95"][curve][0] > 0 for curve in _CURVES)
    return [
        markdown_table(("map", "deletion (smaller is better)", "insertion (larger is better)"), rows),
        f"Mean areas under the curve of the predicted class's probability, {values['films']} films (RISE, arXiv:1806.07421); "
        f"the control is a random map, as coarse as Grad-CAM's. {verdicts[favourable]}",
    ]


def measure_randomised(explained: Sequence[Explained], evidence: Evidence) -> Measured | None:
    """Rank correlation of the maps with three others; None without a network in PyTorch.

    `head_random`: of the same films with a random head. `all_random`: with every layer random. `another_film`: of dissimilar
    films, with the trained weights.
    """
    network = evidence.network()
    if network is None:
        return None
    generator = torch.Generator().manual_seed(evidence.bootstrap.seed)
    originals = [each.grid for each in explained]
    measured: Measured = {"films": len(explained)}
    # Cumulative: the head is still random when the backbone's weights are drawn.
    for name, module in (("head_random", network.head), ("all_random", network.backbone)):
        randomise(module, generator)
        measured[name] = _correlation(originals, network_maps(network, explained))
    others = [each.grid for each in _dissimilar(explained, evidence.bootstrap.seed)]
    return measured | {"another_film": _correlation(originals, others)}


@torch.no_grad()
def randomise(module: nn.Module, generator: torch.Generator) -> None:
    """Redraw the weights of convolutions and linear layers in place; biases and normalisation stay.

    Each weight tensor is drawn from a normal distribution with its own mean and standard deviation, so that activations keep
    their scale.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            drawn = torch.randn(layer.weight.shape, generator=generator)
            layer.weight.copy_(layer.weight.mean() + layer.weight.std(correction=0) * drawn)


def network_maps(network: ChestXrayNetwork, explained: Sequence[Explained]) -> list[Grid]:
    """Grad-CAM maps with the network's present weights, each of the class that the trained bundle predicted."""
    grad_cam = GradCam(network.head)
    maps = []
    for each in tqdm(explained, desc="Explaining with random weights", unit="film", disable=None):
        features = network.features(network.normalise(torch.from_numpy(each.image[None])))
        maps.append(grad_cam.grid(features[0].numpy(), FINDINGS[each.predicted]))
    return maps


def describe_randomised(values: Values | None) -> list[str]:
    """A table of the correlations, and what it shows."""
    if values is None:
        return ["Not measured: the network's weights cannot be recovered from the graph."]
    titles = {
        "head_random": "random head",
        "all_random": "every layer random",
        "another_film": "a dissimilar film, trained weights",
    }
    rows = [(title, number(values[name]["spearman"]), str(values[name]["blank"])) for name, title in titles.items()]
    all_random, other_films = values["all_random"], values["another_film"]["spearman"]
    text = (
        f"Mean rank correlation (Spearman) with the map of the trained model, {values['films']} films (arXiv:1810.03292). "
        "Blank maps have no correlation and are left out. "
    )
    if all_random["spearman"] is None or all_random["blank"] > values["films"] / 2:
        text += "Too few maps are left to tell."
    elif abs(all_random["spearman"]) <= _NEGLIGIBLE_CORRELATION:
        text += "With every layer random, nothing of the map is left: it depends on what was learnt."
    else:
        text += (
            "With every layer random, maps still correlate with the originals: that part shows the film, not what was learnt."
        )
    if other_films is not None and other_films > _NEGLIGIBLE_CORRELATION:
        text += (
            " But with the trained weights, maps of films of another predicted class and another source (where there are such) "
            f"correlate by {other_films:.3f}: that part of a map shows where the model looks in any film."
        )
    return [markdown_table(("map of", "correlation", "blank maps"), rows), text]


def _dissimilar(explained: Sequence[Explained], seed: int) -> list[Explained]:
    """For each film a random one of another predicted class and another source, or the most dissimilar that there is."""
    others = []
    for film in explained:
        differences = [(each.predicted != film.predicted) + (each.film.source != film.film.source) for each in explained]
        candidates = [each for each, count in zip(explained, differences, strict=True) if count == max(differences)]
        others.append(candidates[int(film_rng(seed, film.film.relative).integers(len(candidates)))])
    return others


def _correlation(originals: Sequence[Grid], maps: Sequence[Grid]) -> Measured:
    """Mean rank correlation of the pairs, None if no pair has one, and the number of pairs with a blank map."""
    correlations = np.array([rank_correlation(*pair) for pair in zip(originals, maps, strict=True)])
    defined = correlations[~np.isnan(correlations)]
    return {
        "spearman": plain(defined.mean()) if len(defined) else None,
        "blank": int(len(correlations) - len(defined)),
    }
