"""Dashboard "Drift": films and answers against the reference of the bundle."""

from k8s.monitoring.dashboards.model import VERSION
from k8s.monitoring.dashboards.panels import RED, YELLOW, Dashboard, Panel, Query, Variable, row

FEATURE = Variable("feature", "Feature", "label_values(cxr_drift_reference_films, feature)")

_CHOSEN = 'version=~"$version", feature=~"$feature"'

# The usual reading of a PSI: below 0.1 none to speak of, above 0.2 the report's alert.
PSI = ((0.1, YELLOW), (0.2, RED))


def _psi(window: str, width: int) -> Panel:
    words = {"1h": "last hour", "1d": "last day", "7d": "last week"}[window]
    return Panel(
        title=f"PSI, {words}",
        description="Population stability index by feature; no value below 100 films. The last day's alerts above 0.2.",
        unit="short",
        queries=(Query(f"cxr:psi:{window}{{{_CHOSEN}}}", "{{feature}} ({{version}})"),),
        thresholds=PSI,
        width=width,
        minimum=0,
    )


DRIFT = Dashboard(
    uid="chest-xray-drift",
    title="Chest X-ray: Drift",
    description="Distributions of films and answers, compared with the reference films of the bundle.",
    variables=(VERSION, FEATURE),
    since="now-7d",
    rows=(
        row("Population stability", _psi("1d", 24), _psi("1h", 12), _psi("7d", 12)),
        row(
            "Is it chance?",
            Panel(
                title="PSI relative to chance, last day",
                description="PSI over its 99th percentile without drift, for as many films: up to 1 may be chance.",
                queries=(Query(f"cxr:psi:1d{{{_CHOSEN}}} / cxr:psi_null:1d", "{{feature}} ({{version}})"),),
                thresholds=((1, YELLOW), (2, RED)),
            ),
            Panel(
                title="KL divergence, last day",
                description="Kullback-Leibler divergence of the films from the reference, in nats.",
                queries=(Query(f"cxr:kl:1d{{{_CHOSEN}}}", "{{feature}} ({{version}})"),),
                thresholds=PSI,
            ),
        ),
        row(
            "Films",
            Panel(
                title="Share of films by bin, last day",
                description="Choose one feature above. Each bin holds a tenth of the reference; over 30 % in one is unusual.",
                unit="percentunit",
                queries=(Query(f"cxr:drift_share:1d{{{_CHOSEN}}}", "{{feature}} {{bin}}"),),
                thresholds=((0.2, YELLOW), (0.3, RED)),
                kind="bars",
            ),
            Panel(
                title="The same on the reference",
                description="Share of the reference films in each bin of the feature chosen.",
                unit="percentunit",
                queries=(Query(f"cxr:reference:share{{{_CHOSEN}}}", "{{feature}} {{bin}}"),),
                thresholds=((0.6, YELLOW), (0.9, RED)),
                kind="bars",
            ),
            Panel(
                title="Films out of range, last day",
                description="Share beyond every reference film's value; resolution alerts above 20 %.",
                unit="percentunit",
                queries=(Query(f"cxr:out_of_range:ratio1d{{{_CHOSEN}}}", "{{feature}}"),),
                thresholds=((0.1, YELLOW), (0.2, RED)),
                maximum=1,
            ),
            Panel(
                title="Films counted, last day",
                description="By feature; below 100 films there is no drift value.",
                queries=(Query(f"cxr:drift_films:1d{{{_CHOSEN}}}", "{{feature}} ({{version}})"),),
                thresholds=((100, "green"),),
                base=RED,
            ),
        ),
    ),
)
