"""The parts of a dashboard as values, and the Grafana JSON model that they make. Knows no metric."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from grafana_foundation_sdk.builders import bargauge, common, dashboard, prometheus, stat, table, timeseries
from grafana_foundation_sdk.builders.dashboard import ThresholdsConfig
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import GraphTresholdsStyleMode, StackingMode
from grafana_foundation_sdk.models.dashboard import DataSourceRef, Threshold, ThresholdsMode
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

Kind = Literal["timeseries", "stat", "bars", "table"]

GREEN, YELLOW, RED = "green", "yellow", "red"

# A variable of the dashboard: the user chooses the Prometheus in Grafana.
DATASOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")

HEIGHT = {"timeseries": 8, "stat": 4, "bars": 8, "table": 8}

_BUILDERS: dict[Kind, Any] = {
    "timeseries": timeseries.Panel,
    "stat": stat.Panel,
    "bars": bargauge.Panel,
    "table": table.Panel,
}


@dataclass(frozen=True)
class Query:
    """PromQL, and the name of its series, where {{label}} stands for a label's value."""

    expression: str
    legend: str


@dataclass(frozen=True)
class Panel:
    """One panel."""

    title: str  # heading
    description: str  # one line that explains it
    queries: tuple[Query, ...]  # what it shows
    thresholds: tuple[tuple[float, str], ...]  # (from this value on, colour), rising; at least one
    unit: str = "short"  # one of Grafana's: s, percentunit, reqps, short
    base: str = GREEN  # colour below the first threshold
    kind: Kind = "timeseries"  # of panel
    width: int = 12  # in columns of 24
    minimum: float | None = 0  # of the axis
    maximum: float | None = None  # of the axis
    stacked: bool = False  # whether series are drawn on top of each other


@dataclass(frozen=True)
class Row:
    """Panels under a heading."""

    title: str
    panels: tuple[Panel, ...]


def row(title: str, *panels: Panel) -> Row:
    """A row of these panels."""
    return Row(title, panels)


@dataclass(frozen=True)
class Variable:
    """A choice at the top of the dashboard. query: gives the label values to choose from."""

    name: str
    label: str
    query: str


@dataclass(frozen=True)
class Dashboard:
    """One dashboard. uid: names its file and its address in Grafana. since: start of the time range."""

    uid: str
    title: str
    description: str
    rows: tuple[Row, ...]
    variables: tuple[Variable, ...] = ()
    since: str = "now-24h"


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
            dashboard.QueryVariable(variable.name)
            .label(variable.label)
            .query(variable.query)
            .datasource(DATASOURCE)
            .multi(True)
            .include_all(True)
            .all_value(".*")
        )
    for row in described.rows:
        builder = builder.with_row(dashboard.Row(row.title))
        for panel in row.panels:
            builder = builder.with_panel(_panel(panel))
    return dict(json.loads(json.dumps(builder.build(), cls=JSONEncoder)))


def _panel(panel: Panel) -> Any:
    builder = _BUILDERS[panel.kind]()
    steps = [Threshold(value=None, color=panel.base), *(Threshold(value, colour) for value, colour in panel.thresholds)]
    builder = (
        builder.title(panel.title)
        .description(panel.description)
        .datasource(DATASOURCE)
        .unit(panel.unit)
        .span(panel.width)
        .height(HEIGHT[panel.kind])
        .thresholds(ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps))
    )
    if panel.minimum is not None:
        builder = builder.min(panel.minimum)
    if panel.maximum is not None:
        builder = builder.max(panel.maximum)
    for index, query in enumerate(panel.queries):
        builder = builder.with_target(_target(query, index, panel.kind))
    if panel.kind == "timeseries":
        lines = common.GraphThresholdsStyleConfig().mode(GraphTresholdsStyleMode.DASHED)
        builder = builder.thresholds_style(lines).fill_opacity(8)
        if panel.stacked:
            builder = builder.stacking(common.StackingConfig().mode(StackingMode.NORMAL)).fill_opacity(30)
    return builder


def _target(query: Query, index: int, kind: Kind) -> Any:
    target = prometheus.Dataquery().expr(query.expression).legend_format(query.legend).ref_id("ABCDEFGH"[index])
    if kind == "timeseries":
        return target.range()
    return target.instant().format(PromQueryFormat.TABLE if kind == "table" else PromQueryFormat.TIME_SERIES)


def all_expressions(dashboards: Sequence[Dashboard]) -> list[tuple[str, str, str]]:
    """(dashboard, panel, PromQL) of every query."""
    return [
        (each.uid, panel.title, query.expression)
        for each in dashboards
        for row in each.rows
        for panel in row.panels
        for query in panel.queries
    ]
