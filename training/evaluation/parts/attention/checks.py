"""What maps depend on: the answer on what a map marks (deletion and insertion), and a map on the weights (randomisation).

Randomisation is the sanity check of Adebayo et al. (arXiv:1810.03292): a map that stays the same when weights are random shows
edges of the film, not the model's reasons.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import torch
from matplotlib.axes import Axes
from tqdm import tqdm

from service.model.grad_cam import Grid
from service.model.manifest import GRAPH_NAME
from training.data.parallel import each_of
from training.evaluation.evidence import Evidence
from training.evaluation.judging.altered import film_rng
from training.evaluation.judging.torch_graph import TorchGraph
from training.evaluation.measures.attention_maps import Images, deletion_and_insertion, random_grid, rank_correlation
from training.evaluation.measures.bootstrap import MetricPath, mean_over_films, plain
from training.evaluation.measures.confusion import Floats
from training.evaluation.part import Measured
from training.evaluation.parts.attention.maps import Explained
from training.evaluation.report.plots import error_bars
from training.evaluation.report.tables import Values, number, with_interval
from training.plots import height_of
from training.tables import markdown_table

_CURVES = ("deletion", "insertion")

# How many layers, counted from the output, are random at each stage; the first two are the head. The last stage is all.
STAGES = (1, 2, 3, 6, 12, 24)

# Mean correlations up to this come from the lungs' similar position in all films.
_LITTLE = 0.2


def measure_curves(explained: Sequence[Explained], evidence: Evidence) -> Measured:
    """Areas under both curves with Grad-CAM's map and with a random one, and what is gained film by film."""
    bootstrap, groups = evidence.bootstrap, [each.group for each in explained]

    def curves(each: Explained) -> tuple[tuple[float, float], tuple[float, float]]:
        blind = random_grid(each.grid.shape, film_rng(bootstrap.seed, each.film.relative))

        def score(images: Images) -> Floats:
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


def draw_curves(values: Values, axes: Axes) -> None:
    """Areas under both curves, beside those of a random map."""
    for shift, order, label, colour in ((-0.2, "grad_cam", "Grad-CAM", "#d95f0e"), (0.2, "random", "random map", "#bdbdbd")):
        areas = [values[order][curve] for curve in _CURVES]
        errors = error_bars(areas, [values[order]["interval_95"][curve] for curve in _CURVES])
        axes.bar(np.arange(len(_CURVES)) + shift, areas, 0.4, color=colour, label=label, yerr=errors, capsize=3)
    axes.set_xticks(range(len(_CURVES)), _CURVES)
    axes.set(ylabel="area under the curve", ylim=(0, 1.02), title="Does the answer depend on what the map marks?")
    axes.legend(loc="upper left")


def measure_randomised(explained: Sequence[Explained], evidence: Evidence) -> Measured:
    """Correlation with the trained model's maps at each stage, and of the trained model's maps of unlike films."""
    torch.set_num_threads(evidence.threads)
    graph = TorchGraph.open(evidence.bundle.file(GRAPH_NAME))
    images = np.stack([each.image for each in explained])
    targets, originals = [each.predicted for each in explained], [each.grid for each in explained]
    stages = []
    layers = len(graph.weight_names)
    for count, name in tqdm(
        randomised_stages(graph, evidence.bootstrap.seed), desc="Randomising layers", unit="stage", disable=None
    ):
        maps = grad_cam_maps(graph, images, targets)
        stages.append({"layers": count, "lowest": name, **_correlation(originals, maps)})
    others = [each.grid for each in _unlike(explained, evidence.bootstrap.seed)]
    return {"films": len(explained), "layers": layers, "stages": stages, "another_film": _correlation(originals, others)}


def randomised_stages(graph: TorchGraph, seed: int) -> Iterator[tuple[int, str]]:
    """Randomise the graph's layers cascading from the output; yields (layers random so far, name of the lowest one) per stage.

    Each weight is drawn anew from a normal distribution of its own mean and deviation, so that activations keep their size;
    biases and normalisation stay. The graph itself is changed.
    """
    names = graph.weight_names[::-1]
    generator = torch.Generator().manual_seed(seed)
    done = 0
    for stage in sorted({min(stage, len(names)) for stage in (*STAGES, len(names))}):
        for name in names[done:stage]:
            weight = graph.weight(name)
            drawn = torch.randn(weight.shape, generator=generator)
            weight.copy_(weight.mean() + weight.std(correction=0) * drawn)
        done = stage
        yield done, names[done - 1]


def grad_cam_maps(graph: TorchGraph, images: npt.NDArray[np.uint8], targets: Sequence[int]) -> list[Grid]:
    """Grad-CAM of each image's target class over `features`, through the graph; images uint8 [N, S, S] -> N maps [h, w].

    The same as `service.model.grad_cam.GradCam.grid`, but through whatever weights the graph holds now.
    """
    maps = []
    for image, target in zip(images, targets, strict=True):
        # The gradient starts at the input, for want of a leaf at the features: a small part of the cost of the forward pass.
        values = graph(torch.from_numpy(image[None]).float().requires_grad_(), ("features", "logits"))
        (gradient,) = torch.autograd.grad(values["logits"][0, target], values["features"])
        cam = torch.relu((gradient.mean(dim=(2, 3), keepdim=True) * values["features"]).sum(dim=1))[0].detach()
        strongest = cam.max()
        maps.append(np.asarray((cam / strongest if strongest > 0 else cam).numpy(), dtype=np.float32))
    return maps


def describe_randomised(values: Values) -> list[str]:
    """A table of the stages, and what it shows."""
    rows = [
        (f"{stage['layers']} of {values['layers']}", stage["lowest"], number(stage["spearman"]), str(stage["blank"]))
        for stage in values["stages"]
    ]
    other = values["another_film"]
    rows.append(("none", "(the map of an unlike film)", number(other["spearman"]), str(other["blank"])))
    end, reference = values["stages"][-1], other["spearman"]
    words = (
        f"Mean rank correlation (Spearman) with the map of the trained model, {values['films']} films; layers randomised from "
        "the output down (arXiv:1810.03292). Blank maps have no correlation and are left out. "
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
    return [markdown_table(("random layers", "down to", "correlation", "blank maps"), rows), words]


def draw_randomised(values: Values, axes: Axes) -> None:
    """Correlation against the number of random layers, and that of another film's map."""
    stages = values["stages"]
    correlations = [1.0, *(height_of(stage["spearman"]) for stage in stages)]
    axes.plot(range(len(correlations)), correlations, "o-", color="#756bb1")
    axes.axhline(height_of(values["another_film"]["spearman"]), linestyle="--", color="grey", label="map of another film")
    axes.set_xticks(range(len(correlations)), ["0", *(str(stage["layers"]) for stage in stages)])
    axes.set(xlabel="layers randomised, from the output down", ylabel="rank correlation", ylim=(-0.5, 1.05))
    axes.set_title("Does the map depend on what was learnt?")
    axes.legend(loc="upper right")


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
