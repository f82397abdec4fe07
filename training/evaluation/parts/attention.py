"""What Grad-CAM maps are worth: do they lie in the lungs, does the answer hang on them, and they on what was learnt?"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from tqdm import tqdm

from service.film.preprocessing import resize_stretched, to_model_input
from service.model.findings import FINDINGS
from service.model.grad_cam import ZONE_LEVELS, ZONE_SIDES, GradCam, Grid, zone_shares
from service.model.manifest import GRAPH_NAME
from training.data.folder import FilmFile
from training.data.parallel import each_of
from training.data.subset import film_strata, stratified_subset
from training.evaluation.judging.altered import film_rng, read_film
from training.evaluation.judging.torch_graph import TorchGraph
from training.evaluation.measures.attention_maps import (
    Images,
    deletion_and_insertion,
    random_grid,
    rank_correlation,
    share_inside,
)
from training.evaluation.measures.bootstrap import FigurePath
from training.evaluation.measures.confusion import Floats, Labels
from training.evaluation.measures.intervals import interval_figures, mean_over_films
from training.evaluation.measures.randomised import grad_cam_maps, randomised_stages
from training.evaluation.part import Evidence, Measured, Part
from training.evaluation.report.tables import Figures, number, picture, with_interval
from training.plots import height_of, new_figure, save
from training.tables import markdown_table

# A run of the graph a film; about 70 for curves; a PyTorch run a stage: two minutes on two cores in all.
FILMS = 300
CURVE_FILMS = 60
RANDOMISED_FILMS = 36

ZONES_NAME = "attention_zones.png"
CHECKS_NAME = "attention_checks.png"

ZONES = tuple(f"{side}_{level}" for side in ZONE_SIDES for level in ZONE_LEVELS)

_CURVES = ("deletion", "insertion")

# A mean correlation of maps that two of different origin reach by the lungs' being in the same place.
_LITTLE = 0.2


@dataclass(frozen=True)
class _Explained:
    """A film, its model input uint8 [S, S], the class predicted, its map and its lungs (bool [S, S], None without outline)."""

    film: FilmFile
    image: npt.NDArray[np.uint8]
    predicted: int
    grid: Grid
    lungs: npt.NDArray[np.bool_] | None


def measure_attention(
    evidence: Evidence, *, films: int = FILMS, curve_films: int = CURVE_FILMS, randomised_films: int = RANDOMISED_FILMS
) -> Measured:
    """Grad-CAM of the predicted class, on subsets stratified by class and source; each smaller one is part of the larger.

    `lungs` is None without a lung segmenter. Raises ExportError if the bundle's graph holds operators that TorchGraph does not
    interpret.
    """
    split = evidence.judged()
    judgements = split.judgements()
    strata = film_strata([each.film for each in split.judged])
    chosen = stratified_subset(strata, films, evidence.seed)
    explained = _explain(evidence, [split.judged[index].film for index in chosen])
    labels, groups = judgements.labels[chosen], [judgements.groups[index] for index in chosen]
    positions = {index: place for place, index in enumerate(chosen.tolist())}

    def part_of(size: int) -> list[int]:
        """Places within `explained` of a smaller subset."""
        return [positions[index] for index in stratified_subset(strata, min(size, films), evidence.seed).tolist()]

    curves, checked = part_of(curve_films), part_of(randomised_films)
    return {
        "seed": evidence.seed,
        "lungs": None if evidence.lungs is None else _measure_lungs(explained, labels, groups, evidence),
        "zones": _measure_zones(explained, labels, groups, evidence),
        "curves": _measure_curves([explained[place] for place in curves], [groups[place] for place in curves], evidence),
        "randomised": _measure_randomised([explained[place] for place in checked], evidence),
    }


def _explain(evidence: Evidence, films: Sequence[FilmFile]) -> list[_Explained]:
    predictor, grad_cam = evidence.predictor, GradCam.from_bundle(evidence.bundle)
    spec = predictor.manifest.preprocess

    def explain(film: FilmFile) -> _Explained:
        radiograph = read_film(film, spec)
        image = to_model_input(radiograph, spec)
        values = predictor.predict(image[None], ("probabilities", "features"))
        predicted = int(values["probabilities"][0].argmax())
        lungs = None
        if evidence.lungs is not None:
            outline = evidence.lungs.outline(radiograph.pixels)
            lungs = resize_stretched(outline.astype(np.uint8) * 255, spec.image_size_px) > 127 if outline.any() else None
        return _Explained(film, image, predicted, grad_cam.grid(values["features"][0], FINDINGS[predicted]), lungs)

    return list(each_of(films, explain, threads=evidence.threads, title="Explaining films"))


def _measure_lungs(explained: Sequence[_Explained], labels: Labels, groups: list[str], evidence: Evidence) -> Measured:
    inside = np.array([np.nan if each.lungs is None else share_inside(each.grid, each.lungs) for each in explained])
    area = np.array([np.nan if each.lungs is None else each.lungs.mean() for each in explained])
    return {
        "films": int(np.sum(~np.isnan(inside))),
        "left_out": int(np.sum(np.isnan(inside))),
        **_by_class({"attention": inside, "area": area}, labels, groups, evidence),
    }


def _measure_zones(explained: Sequence[_Explained], labels: Labels, groups: list[str], evidence: Evidence) -> Measured:
    shares = [zone_shares(each.grid) for each in explained]
    by_zone = {zone: np.array([share[zone] for share in shares]) for zone in ZONES}
    return {"films": len(explained), **_by_class(by_zone, labels, groups, evidence)}


def _by_class(values: dict[str, Floats], labels: Labels, groups: list[str], evidence: Evidence) -> Measured:
    """Mean of each value over all films (`all`) and over those of each true class (`per_class`)."""

    def statistics(weights: Floats) -> dict[FigurePath, Floats]:
        figures: dict[FigurePath, Floats] = {}
        for name, each in values.items():
            figures["all", name] = mean_over_films(each, weights)
            for index, finding in enumerate(FINDINGS):
                figures["per_class", finding.value, name] = mean_over_films(np.where(labels == index, each, np.nan), weights)
        return figures

    return interval_figures(statistics, groups, seed=evidence.seed, resamples=evidence.resamples)


def _measure_curves(explained: Sequence[_Explained], groups: list[str], evidence: Evidence) -> Measured:
    def curves(each: _Explained) -> tuple[tuple[float, float], tuple[float, float]]:
        blind = random_grid(each.grid.shape, film_rng(evidence.seed, each.film.relative))

        def score(images: Images) -> Floats:
            return evidence.predictor.predict(images)["probabilities"][:, each.predicted].astype(np.float64)

        return deletion_and_insertion(each.image, each.grid, score), deletion_and_insertion(each.image, blind, score)

    areas = np.array(list(each_of(explained, curves, threads=evidence.threads, title="Deleting and inserting")))

    def statistics(weights: Floats) -> dict[FigurePath, Floats]:
        return {
            (order, curve): mean_over_films(areas[:, row, column], weights)
            for row, order in enumerate(("grad_cam", "random"))
            for column, curve in enumerate(_CURVES)
        }

    def gain(weights: Floats) -> dict[FigurePath, Floats]:
        values = statistics(weights)
        return {
            ("gain", "deletion"): values["random", "deletion"] - values["grad_cam", "deletion"],
            ("gain", "insertion"): values["grad_cam", "insertion"] - values["random", "insertion"],
        }

    figures = interval_figures(statistics, groups, seed=evidence.seed, resamples=evidence.resamples)
    interval_figures(gain, groups, seed=evidence.seed, resamples=evidence.resamples, into=figures, lowest=-1.0)
    return {"films": len(explained), **figures}


def _measure_randomised(explained: Sequence[_Explained], evidence: Evidence) -> Measured:
    torch.set_num_threads(evidence.threads)
    graph = TorchGraph.open(evidence.bundle.file(GRAPH_NAME))
    images = np.stack([each.image for each in explained])
    targets, originals = [each.predicted for each in explained], [each.grid for each in explained]
    stages = []
    layers = len(graph.weight_names)
    for count, name in tqdm(randomised_stages(graph, evidence.seed), desc="Randomising layers", unit="stage", disable=None):
        maps = grad_cam_maps(graph, images, targets)
        stages.append({"layers": count, "lowest": name, **_correlation(originals, maps)})
    others = [each.grid for each in _unlike(explained, evidence.seed)]
    return {"films": len(explained), "layers": layers, "stages": stages, "another_film": _correlation(originals, others)}


def _unlike(explained: Sequence[_Explained], seed: int) -> list[_Explained]:
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
        "spearman": round(float(defined.mean()), 6) if len(defined) else None,
        "blank": int(len(correlations) - len(defined)),
    }


def describe_attention(values: Measured) -> str:
    """Tables of the four, and what follows from them."""
    return "\n\n".join(
        [
            "### Attention inside the lungs",
            *_describe_lungs(values["lungs"]),
            "### Attention by zone",
            *_describe_zones(values["zones"]),
            "### Deletion and insertion",
            *_describe_curves(values["curves"]),
            "### Randomised weights",
            *_describe_randomised(values["randomised"]),
            picture("Deletion, insertion and randomised weights", CHECKS_NAME),
        ]
    )


def _describe_lungs(values: Figures | None) -> list[str]:
    if values is None:
        return ["Not measured: this needs a lung segmenter."]
    levels = {**values["per_class"], "all films": values["all"]}
    rows = [
        (name, with_interval(each, "attention"), with_interval(each, "area"), _ratio(each["attention"], each["area"]))
        for name, each in levels.items()
    ]
    words = f"{values['films']} films; {values['left_out']} more are left out (no lungs found, or an empty map)."
    attention, area = values["all"]["attention"], values["all"]["area"]
    if attention is not None and area:
        words += (
            f" A map without any preference would have {area:.0%} of its weight in the lungs, since they cover as much of the "
            f"film; Grad-CAM has {attention:.0%}, {attention / area:.2f} times as much. Its cells are coarse: some weight "
            "beside the lungs is to be expected of a perfect map too."
        )
    header = ("true class", "attention in the lungs (95 % interval)", "area of the lungs", "attention / area")
    return [markdown_table(header, rows), words]


def _describe_zones(values: Figures) -> list[str]:
    levels = {**values["per_class"], "all films": values["all"]}
    header = ("true class", *(zone.replace("_", " ") for zone in ZONES))
    rows = [(name, *(number(each[zone]) for zone in ZONES)) for name, each in levels.items()]
    upper = {name: sum(height_of(each[f"{side}_upper"]) for side in ZONE_SIDES) for name, each in values["per_class"].items()}
    in_upper = ", ".join(f"{name} {share:.0%}" for name, share in upper.items() if not np.isnan(share))
    return [
        markdown_table(header, rows),
        f"Shares of the map in six equal parts of the film, {values['films']} films; right is the patient's right. The upper "
        f"third holds, by class: {in_upper}. Tuberculosis of adults favours the upper zones and pneumonia the lower ones; maps "
        "that follow the disease would differ so.",
        picture("Attention by zone and class", ZONES_NAME),
    ]


def _describe_curves(values: Figures) -> list[str]:
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


def _describe_randomised(values: Figures) -> list[str]:
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
            "With every layer random, maps still go with those before: so much of them shows the film, not what was learnt."
        )
    if reference is not None and reference > _LITTLE:
        words += (
            " But the trained model's maps of films of another call and another source (where there are such) correlate by "
            f"{reference:.3f}: that much of a map is where the model looks whatever the film."
        )
    return [markdown_table(("random layers", "down to", "correlation", "blank maps"), rows), words]


def draw_attention(values: Measured, folder: Path) -> None:
    """Zones by class, deletion and insertion areas, and correlation against randomised layers, as PNG."""
    folder.mkdir(parents=True, exist_ok=True)
    _draw_zones(values["zones"], folder / ZONES_NAME)
    _draw_checks(values["curves"], values["randomised"], folder / CHECKS_NAME)


def _draw_zones(values: Figures, path: Path) -> None:
    """One film a class, as the reader sees it: the patient's right on the left."""
    figure = new_figure(9.0, 3.4)
    panels = figure.subplots(1, len(FINDINGS))
    shares = {
        name: np.array([[height_of(each[f"{side}_{level}"]) for side in ZONE_SIDES] for level in ZONE_LEVELS])
        for name, each in values["per_class"].items()
    }
    highest = max(float(np.nanmax(each, initial=1 / len(ZONES))) for each in shares.values())
    for axes, (name, each) in zip(panels, shares.items(), strict=True):
        image = axes.imshow(each, cmap="Oranges", vmin=0, vmax=highest)
        for row, column in np.ndindex(each.shape):
            axes.text(column, row, f"{each[row, column]:.0%}", ha="center", va="center")
        axes.set_xticks(range(len(ZONE_SIDES)), ZONE_SIDES)
        axes.set_yticks(range(len(ZONE_LEVELS)), ZONE_LEVELS)
        axes.set_title(name)
    figure.colorbar(image, ax=panels, label="share of the map")
    save(figure, path)


def _draw_checks(curves: Figures, randomised: Figures, path: Path) -> None:
    figure = new_figure(10.0, 4.0)
    left, right = figure.subplots(1, 2)
    for shift, order, label, colour in ((-0.2, "grad_cam", "Grad-CAM", "#d95f0e"), (0.2, "random", "random map", "#bdbdbd")):
        areas = np.array([curves[order][curve] for curve in _CURVES])
        bounds = np.array([curves[order]["interval_95"][curve] for curve in _CURVES])
        errors = [areas - bounds[:, 0], bounds[:, 1] - areas]
        left.bar(np.arange(len(_CURVES)) + shift, areas, 0.4, color=colour, label=label, yerr=errors, capsize=3)
    left.set_xticks(range(len(_CURVES)), _CURVES)
    left.set(ylabel="area under the curve", ylim=(0, 1.02), title="Does the answer hang on what the map marks?")
    left.legend(loc="upper left")
    stages = randomised["stages"]
    correlations = [1.0, *(height_of(stage["spearman"]) for stage in stages)]
    right.plot(range(len(correlations)), correlations, "o-", color="#756bb1")
    right.axhline(height_of(randomised["another_film"]["spearman"]), linestyle="--", color="grey", label="map of another film")
    right.set_xticks(range(len(correlations)), ["0", *(str(stage["layers"]) for stage in stages)])
    right.set(xlabel="layers randomised, from the output down", ylabel="rank correlation", ylim=(-0.5, 1.05))
    right.set_title("Does the map hang on what was learnt?")
    right.legend(loc="upper right")
    save(figure, path)


def _ratio(attention: float | None, area: float | None) -> str:
    return number(None if attention is None or not area else attention / area)


def _films(evidence: Evidence) -> float:
    """Curves take about 70 runs of the graph a film, randomised weights a PyTorch run a stage."""
    explained, curves, randomised = (min(size, evidence.count()) for size in (FILMS, CURVE_FILMS, RANDOMISED_FILMS))
    return 3 * explained + 56 * curves + 50 * randomised


PART = Part("attention", "Attention", measure_attention, describe_attention, draw_attention, films=_films)
