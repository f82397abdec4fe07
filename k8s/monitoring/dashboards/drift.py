"""Dashboard "Drift": films and answers against the reference of the bundle."""

from k8s.monitoring.dashboards.model import VERSION
from k8s.monitoring.dashboards.panels import RED, YELLOW, Dashboard, Panel, Query, Row, Variable

FEATURE = Variable("feature", "Feature", "label_values(cxr_drift_reference_films, feature)")

_CHOSEN = 'version=~"$version", feature=~"$feature"'

# The usual reading of a PSI: below 0.1 none to speak of, above 0.2 the report's alert.
PSI = ((0.1, YELLOW), (0.2, RED))


def _psi(window: str, width: int) -> Panel:
    words = {"1h": "last hour", "1d": "last day", "7d": "last week"}[window]
    return Panel(
        title=f"PSI, {words}",
        description="Population stability index by feature; no figure below 100 films. The last day's alerts above 0.2.",
        unit="short",
        queries=(Query(f"cxr:psi:{window}{{{_CHOSEN}}}", "{{feature}} ({{version}})"),),
        thresholds=PSI,
        width=width,
        minimum=0,
    )


DRIFT = Dashboard(
    uid="chest-xray-drift",
    title="Chest X-ray: Drift",
    description="How films and answers are distributed, against the films that the model was made with.",
    variables=(VERSION, FEATURE),
    since="now-7d",
    rows=(
        Row("Population stability", (_psi("1d", 24), _psi("1h", 12), _psi("7d", 12))),
        Row(
            "Is it chance?",
            (
                Panel(
                    title="PSI and what chance explains, last day",
                    description="PSI over its 99th percentile without drift, for as many films: up to 1 may be chance.",
                    unit="short",
                    queries=(Query(f"cxr:psi:1d{{{_CHOSEN}}} / cxr:psi_null:1d", "{{feature}} ({{version}})"),),
                    thresholds=((1, YELLOW), (2, RED)),
                    minimum=0,
                ),
                Panel(
                    title="KL divergence, last day",
                    description="Kullback-Leibler divergence of the films from the reference, in nats.",
                    unit="short",
                    queries=(Query(f"cxr:kl:1d{{{_CHOSEN}}}", "{{feature}} ({{version}})"),),
                    thresholds=PSI,
                    minimum=0,
                ),
            ),
        ),
        Row(
            "Films",
            (
                Panel(
                    title="Share of films by bin, last day",
                    description="Choose one feature above; bins are tenths of the reference. Over 30 % in one bin is unusual.",
                    unit="percentunit",
                    queries=(Query(f"cxr:drift_share:1d{{{_CHOSEN}}}", "{{feature}} {{bin}}"),),
                    thresholds=((0.2, YELLOW), (0.3, RED)),
                    kind="bars",
                    minimum=0,
                ),
                Panel(
                    title="The same on the reference",
                    description="Share of the reference films in each bin of the feature chosen.",
                    unit="percentunit",
                    queries=(Query(f"cxr:reference:share{{{_CHOSEN}}}", "{{feature}} {{bin}}"),),
                    thresholds=((0.6, YELLOW), (0.9, RED)),
                    kind="bars",
                    minimum=0,
                ),
                Panel(
                    title="Films out of range, last day",
                    description="Share beyond every reference film's value; resolution alerts above 20 %.",
                    unit="percentunit",
                    queries=(Query(f"cxr:out_of_range:ratio1d{{{_CHOSEN}}}", "{{feature}}"),),
                    thresholds=((0.1, YELLOW), (0.2, RED)),
                    minimum=0,
                    maximum=1,
                ),
                Panel(
                    title="Films counted, last day",
                    description="By feature; below 100 nothing is said about drift.",
                    unit="short",
                    queries=(Query(f"cxr:drift_films:1d{{{_CHOSEN}}}", "{{feature}} ({{version}})"),),
                    thresholds=((100, "green"),),
                    base=RED,
                    minimum=0,
                ),
            ),
        ),
    ),
)
