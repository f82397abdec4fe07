"""Turns each description in dashboards/ into the JSON model that Grafana reads. Knows no metric."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml
from grafana_foundation_sdk.builders import bargauge, common, dashboard, prometheus, stat, table, timeseries
from grafana_foundation_sdk.builders.dashboard import ThresholdsConfig
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import GraphTresholdsStyleMode, StackingMode
from grafana_foundation_sdk.models.dashboard import DataSourceRef, Threshold, ThresholdsMode
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from k8s.monitoring import FOLDER

Kind = Literal["timeseries", "stat", "bars", "table"]

NAMES = ("service", "model", "drift", "quality")

# A variable of the dashboard: the user chooses the Prometheus in Grafana.
DATASOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")

_BUILDERS: dict[Kind, Any] = {
    "timeseries": timeseries.Panel,
    "stat": stat.Panel,
    "bars": bargauge.Panel,
    "table": table.Panel,
}


@dataclass(frozen=True)
class Panel:
    """One panel."""

    title: str
    description: str  # one line that explains it
    queries: dict[str, str]  # name of the series, where {{label}} stands for a label's value -> PromQL
    thresholds: list[Any]  # colours, and between them the values at which they change: [green, 0.1, yellow]
    unit: str = "short"  # one of Grafana's: s, percentunit, reqps, short
    kind: Kind = "timeseries"
    width: int = 12  # in columns of 24
    minimum: float | None = 0  # of the axis
    maximum: float | None = None  # of the axis
    stacked: bool = False  # whether series are drawn on top of each other


@dataclass(frozen=True)
class Dashboard:
    """One dashboard."""

    uid: str  # name of its file, and part of its URL in Grafana
    title: str
    description: str
    since: str  # start of the time range
    rows: dict[str, list[Panel]]  # heading -> panels
    variables: Sequence[dict[str, str]] = ()  # choices at its top: name, label, and the query for their values


def read_dashboards() -> list[Dashboard]:
    """The dashboards of NAMES."""
    return [_read(FOLDER / "dashboards" / f"{name}.yaml") for name in NAMES]


def _read(path: Path) -> Dashboard:
    described = yaml.safe_load(path.read_text("utf-8"))
    rows = {title: [Panel(**panel) for panel in panels] for title, panels in described.pop("rows").items()}
    return Dashboard(rows=rows, **described)


def model_of(described: Dashboard) -> dict[str, Any]:
    """The JSON model that Grafana reads."""
    builder = (
        dashboard.Dashboard(described.title)
        .uid(described.uid)
        .description(described.description)
        .tags(["chest-xray"])
        .time(described.since, "now")
        .refresh("30s")
        .timezone("browser")
        .readonly()
        .link(dashboard.DashboardLink("Chest X-ray").tags(["chest-xray"]).as_dropdown(True).keep_time(True))
        .with_variable(dashboard.DatasourceVariable("datasource").label("Prometheus").type("prometheus"))
    )
    for variable in described.variables:
        builder = builder.with_variable(
            dashboard.QueryVariable(variable["name"])
            .label(variable["label"])
            .query(variable["query"])
            .datasource(DATASOURCE)
            .multi(True)
            .include_all(True)
            .all_value(".*")
        )
    for title, panels in described.rows.items():
        builder = builder.with_row(dashboard.Row(title))
        for panel in panels:
            builder = builder.with_panel(_panel(panel))
    return dict(json.loads(json.dumps(builder.build(), cls=JSONEncoder)))


def _panel(panel: Panel) -> Any:
    builder = _BUILDERS[panel.kind]()
    colours, values = panel.thresholds[::2], [None, *panel.thresholds[1::2]]
    steps = [Threshold(value, colour) for value, colour in zip(values, colours, strict=True)]
    builder = (
        builder.title(panel.title)
        .description(panel.description)
        .datasource(DATASOURCE)
        .unit(panel.unit)
        .span(panel.width)
        .height(4 if panel.kind == "stat" else 8)
        .thresholds(ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps))
    )
    if panel.minimum is not None:
        builder = builder.min(panel.minimum)
    if panel.maximum is not None:
        builder = builder.max(panel.maximum)
    for index, (legend, expression) in enumerate(panel.queries.items()):
        builder = builder.with_target(_target(expression, legend, "ABCDEFGH"[index], panel.kind))
    if panel.kind == "timeseries":
        lines = common.GraphThresholdsStyleConfig().mode(GraphTresholdsStyleMode.DASHED)
        builder = builder.thresholds_style(lines).fill_opacity(8)
        if panel.stacked:
            builder = builder.stacking(common.StackingConfig().mode(StackingMode.NORMAL)).fill_opacity(30)
    return builder


def _target(expression: str, legend: str, ref_id: str, kind: Kind) -> Any:
    target = prometheus.Dataquery().expr(expression).legend_format(legend).ref_id(ref_id)
    if kind == "timeseries":
        return target.range()
    return target.instant().format(PromQueryFormat.TABLE if kind == "table" else PromQueryFormat.TIME_SERIES)


def all_expressions() -> list[tuple[str, str, str]]:
    """(dashboard, panel, PromQL) of every query."""
    return [
        (each.uid, panel.title, expression)
        for each in read_dashboards()
        for panels in each.rows.values()
        for panel in panels
        for expression in panel.queries.values()
    ]
