"""What maps depend on: the answer on what a map marks (deletion and insertion), and a map on the weights (randomisation).

Randomisation is the sanity check of Adebayo et al. (arXiv:1810.03292): a map that stays the same when weights are random shows
edges of the film, not the model's reasons.
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

# Mean correlations up to this come from the lungs' similar position in all films.
_LITTLE = 0.2


def measure_curves(explained: Sequence[Explained], evidence: Evidence) -> Measured:
    """Areas under both curves with Grad-CAM's map and with a random one, and what is gained film by film."""
    bootstrap, groups = evidence.bootstrap, [each.group for each in explained]

    def curves(each: Explained) -> tuple[tuple[float, float], tuple[float, float]]:
        blind = random_grid(each.grid.shape, film_rng(bootstrap.seed, each.film.relative))

        def score(images: GreyPixels) -> Floats:
            return evidence.predictor.predict(images)["probabilities"][:, each.predicted].astype(np.float64)

        return deletion_and_insertion(each.image, each.grid, score), deletion_and_insertion(each.image, blind, score)

    areas = np.array(list(each_of(explained, curves, threads=evidence.threads, title="Deleting and inserting")))

    def statistics(weights: Floats) -> dict[MetricPath, Floats]:
        return {
            (order, curve): mean_over_films(areas[:, row, column], weights)
            for row, order in enumerate(("grad_cam", "random"))
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
        (title, *(with_interval(values[order], curve) for curve in _CURVES))
        for order, title in (("grad_cam", "Grad-CAM"), ("random", "random map"))
    ]
    gains = values["gain"]
    rows.append(("gain, film by film", *(with_interval(gains, curve) for curve in _CURVES)))
    verdicts = {
        2: "Both speak for the map: what it marks matters more to the answer than what a random map marks.",
        1: "Only one of them speaks for the map beyond chance; it marks a part of what matters.",
        0: "Neither speaks for the map: these films cannot show that what it marks matters more than what a random map marks.",
    }
    speaking = sum(gains["interval_95"][curve][0] > 0 for curve in _CURVES)
    return [
        markdown_table(("order", "deletion (smaller is better)", "insertion (larger is better)"), rows),
        f"Mean areas under the curve of the predicted class's probability, {values['films']} films (RISE, arXiv:1806.07421); "
        f"the control is a random map, as coarse as Grad-CAM's. {verdicts[speaking]}",
    ]


def measure_randomised(explained: Sequence[Explained], evidence: Evidence) -> Measured | None:
    """Correlation of maps with those of the same films when the head is random (`head_random`) and when every layer is
    (`all_random`), and with those of unlike films (`another_film`). None without a network in PyTorch.
    """
    network = evidence.network()
    if network is None:
        return None
    generator = torch.Generator().manual_seed(evidence.bootstrap.seed)
    originals = [each.grid for each in explained]
    measured: Measured = {"films": len(explained)}
    for name, part in (("head_random", network.head), ("all_random", network.backbone)):
        randomise(part, generator)
        measured[name] = _correlation(originals, network_maps(network, explained))
    others = [each.grid for each in _unlike(explained, evidence.bootstrap.seed)]
    return measured | {"another_film": _correlation(originals, others)}


@torch.no_grad()
def randomise(part: nn.Module, generator: torch.Generator) -> None:
    """Draw the weights of convolutions and linear layers anew; biases and normalisation stay.

    Each weight follows a normal distribution of its own mean and deviation, so that activations keep their size.
    """
    for layer in part.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            drawn = torch.randn(layer.weight.shape, generator=generator)
            layer.weight.copy_(layer.weight.mean() + layer.weight.std(correction=0) * drawn)


def network_maps(network: ChestXrayNetwork, explained: Sequence[Explained]) -> list[Grid]:
    """Grad-CAM of each film's predicted class, as the network sees it now."""
    grad_cam = GradCam(network.head)
    maps = []
    for each in tqdm(explained, desc="Explaining with random weights", unit="film", disable=None):
        features = network.features(network.normalise(torch.from_numpy(each.image[None])))
        maps.append(grad_cam.grid(features[0].numpy(), FINDINGS[each.predicted]))
    return maps


def describe_randomised(values: Values | None) -> list[str]:
    """A table of the correlations, and what it shows."""
    if values is None:
        return ["Not measured: the graph does not give back all weights of a network of this architecture."]
    titles = {
        "head_random": "random head",
        "all_random": "every layer random",
        "another_film": "an unlike film, trained weights",
    }
    rows = [(title, number(values[name]["spearman"]), str(values[name]["blank"])) for name, title in titles.items()]
    end, reference = values["all_random"], values["another_film"]["spearman"]
    words = (
        f"Mean rank correlation (Spearman) with the map of the trained model, {values['films']} films (arXiv:1810.03292). "
        "Blank maps have no correlation and are left out. "
    )
    if end["spearman"] is None or end["blank"] > values["films"] / 2:
        words += "Too few maps are left to tell."
    elif abs(end["spearman"]) <= _LITTLE:
        words += "With every layer random, nothing of the map is left: it depends on what was learnt."
    else:
        words += (
            "With every layer random, maps still correlate with the originals: that part shows the film, not what was learnt."
        )
    if reference is not None and reference > _LITTLE:
        words += (
            " But the trained model's maps of films of another call and another source (where there are such) correlate by "
            f"{reference:.3f}: that part of a map shows where the model looks in any film."
        )
    return [markdown_table(("map of", "correlation", "blank maps"), rows), words]


def _unlike(explained: Sequence[Explained], seed: int) -> list[Explained]:
    """For each film another one, drawn among those of another call and another source, or as unlike as there are."""
    others = []
    for film in explained:
        unlikeness = [(each.predicted != film.predicted) + (each.film.source != film.film.source) for each in explained]
        unlikest = [each for each, score in zip(explained, unlikeness, strict=True) if score == max(unlikeness)]
        others.append(unlikest[int(film_rng(seed, film.film.relative).integers(len(unlikest)))])
    return others


def _correlation(originals: Sequence[Grid], maps: Sequence[Grid]) -> Measured:
    correlations = np.array([rank_correlation(*pair) for pair in zip(originals, maps, strict=True)])
    defined = correlations[~np.isnan(correlations)]
    return {
        "spearman": plain(defined.mean()) if len(defined) else None,
        "blank": int(len(correlations) - len(defined)),
    }
