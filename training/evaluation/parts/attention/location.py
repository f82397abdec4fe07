"""Where the weight of the maps lies: inside the lungs, and in the six zones of the film."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from service.model.findings import FINDINGS
from service.model.grad_cam import ZONE_LEVELS, ZONE_SIDES, zone_shares
from training.evaluation.measures.attention_maps import share_inside
from training.evaluation.measures.bootstrap import Bootstrap, MetricPath, mean_over_films
from training.evaluation.measures.confusion import Floats
from training.evaluation.part import Measured
from training.evaluation.parts.attention.maps import Explained
from training.evaluation.report.tables import Values, number, with_interval
from training.plots import height_of, new_figure, save
from training.tables import markdown_table, picture

PLOT_NAME = "attention_zones.png"

ZONES = tuple(f"{side}_{level}" for side in ZONE_SIDES for level in ZONE_LEVELS)


def measure_lungs(explained: Sequence[Explained], bootstrap: Bootstrap) -> Measured:
    """Share of each map's weight inside the lungs (`attention`), beside the lungs' share of the film (`area`)."""
    inside = np.array([np.nan if each.lungs is None else share_inside(each.grid, each.lungs) for each in explained])
    area = np.array([np.nan if each.lungs is None else each.lungs.mean() for each in explained])
    return {
        "films": int(np.sum(~np.isnan(inside))),
        "left_out": int(np.sum(np.isnan(inside))),
        **_by_class({"attention": inside, "area": area}, explained, bootstrap),
    }


def measure_zones(explained: Sequence[Explained], bootstrap: Bootstrap) -> Measured:
    """Share of each map's weight in each zone."""
    shares = [zone_shares(each.grid) for each in explained]
    by_zone = {zone: np.array([share[zone] for share in shares]) for zone in ZONES}
    return {"films": len(explained), **_by_class(by_zone, explained, bootstrap)}


def describe_lungs(values: Values | None) -> list[str]:
    """A table by true class, and what it shows."""
    if values is None:
        return ["Not measured: this needs a lung segmenter."]
    levels = {**values["per_class"], "all films": values["all"]}
    rows = [
        (name, with_interval(each, "attention"), with_interval(each, "area"), _ratio(each["attention"], each["area"]))
        for name, each in levels.items()
    ]
    text = f"{values['films']} films; {values['left_out']} more are left out (no lungs found, or an empty map)."
    attention, area = values["all"]["attention"], values["all"]["area"]
    if attention is not None and area:
        text += (
            f" A uniform map would have {area:.0%} of its weight in the lungs, their share of the film; Grad-CAM has "
            f"{attention:.0%}, {attention / area:.2f} times as much. Its cells are coarse, so that even a perfect map would "
            "have some weight beside the lungs."
        )
    header = ("true class", "attention in the lungs (95 % interval)", "area of the lungs", "attention / area")
    return [markdown_table(header, rows), text]


def describe_zones(values: Values) -> list[str]:
    """A table by true class, and what it shows."""
    levels = {**values["per_class"], "all films": values["all"]}
    header = ("true class", *(zone.replace("_", " ") for zone in ZONES))
    rows = [(name, *(number(each[zone]) for zone in ZONES)) for name, each in levels.items()]
    upper = {name: sum(height_of(each[f"{side}_upper"]) for side in ZONE_SIDES) for name, each in values["per_class"].items()}
    in_upper = ", ".join(f"{name} {share:.0%}" for name, share in upper.items() if not np.isnan(share))
    return [
        markdown_table(header, rows),
        f"Shares of the map in six equal parts of the film, {values['films']} films; right is the patient's right. Share in "
        f"the upper third, by class: {in_upper}. Tuberculosis of adults is more often in the upper zones, pneumonia in the "
        "lower ones; maps that follow the disease would show the same difference.",
        picture("Attention by zone and class", PLOT_NAME),
    ]


def draw_zones(values: Values, folder: Path) -> None:
    """One panel a true class, as a reader sees the film: the patient's right is on the left."""
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
    save(figure, folder / PLOT_NAME)


def _by_class(values: Mapping[str, Floats], explained: Sequence[Explained], bootstrap: Bootstrap) -> Measured:
    """Mean of each of `values`, [N], over all films (`all`) and over those of each true class (`per_class`)."""
    labels = np.array([each.label for each in explained])

    def statistics(weights: Floats) -> dict[MetricPath, Floats]:
        means: dict[MetricPath, Floats] = {}
        for name, each in values.items():
            means["all", name] = mean_over_films(each, weights)
            for index, finding in enumerate(FINDINGS):
                means["per_class", finding.value, name] = mean_over_films(np.where(labels == index, each, np.nan), weights)
        return means

    return bootstrap.measure(statistics, [each.group for each in explained])


def _ratio(attention: float | None, area: float | None) -> str:
    return number(None if attention is None or not area else attention / area)
