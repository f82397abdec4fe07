"""Dashboard "Quality": accuracy and calibration on confirmed labels."""

from k8s.monitoring.dashboards.model import OF_VERSION, VERSION
from k8s.monitoring.dashboards.panels import GREEN, RED, YELLOW, Dashboard, Panel, Query, row


def _with_bounds(name: str, legend: str) -> tuple[Query, ...]:
    return (
        Query(f"cxr:{name}:7d{{{OF_VERSION}}}", legend),
        Query(f"cxr:{name}_lower:7d{{{OF_VERSION}}}", f"{legend}, lower"),
        Query(f"cxr:{name}_upper:7d{{{OF_VERSION}}}", f"{legend}, upper"),
    )


QUALITY = Dashboard(
    uid="chest-xray-quality",
    title="Chest X-ray: Quality",
    description="Accuracy and calibration on the films whose label was confirmed in the last week. If only doubtful films are "
    "labelled, the model looks worse than it is. A prediction counts once, with its first label; `cxr records labels` exports "
    "corrected labels.",
    variables=(VERSION,),
    since="now-7d",
    rows=(
        row(
            "Labels",
            Panel(
                title="Confirmed labels, last week",
                description="Fifty are needed for an alert on accuracy, a hundred for one on calibration.",
                queries=(Query(f"cxr:labels:7d{{{OF_VERSION}}}", "{{version}}"),),
                thresholds=((50, YELLOW), (100, GREEN)),
                base=RED,
                kind="stat",
                width=6,
            ),
            Panel(
                title="Label coverage",
                description="Share of the films of the last week whose label was confirmed.",
                unit="percentunit",
                queries=(Query(f"cxr:label_coverage:7d{{{OF_VERSION}}}", "{{version}}"),),
                thresholds=((0.01, YELLOW), (0.05, GREEN)),
                base=RED,
                kind="stat",
                width=6,
            ),
            Panel(
                title="Misdiagnoses reported, last week",
                description="Each waits for its review; three alert as a pattern.",
                queries=(Query(f"sum by (version) (increase(cxr_incidents_total{{{OF_VERSION}}}[7d]))", "{{version}}"),),
                thresholds=((1, YELLOW), (3, RED)),
                kind="stat",
                width=6,
            ),
        ),
        row(
            "Accuracy",
            Panel(
                title="Accuracy, last week",
                description="With Wilson's 95 % interval and the test split's accuracy; alert 5 points below that.",
                unit="percentunit",
                queries=(
                    *_with_bounds("accuracy", "{{version}}"),
                    Query(f"max by (version) (cxr_reference_accuracy{{{OF_VERSION}}})", "test split ({{version}})"),
                ),
                thresholds=((0.8, YELLOW), (0.86, GREEN)),
                base=RED,
                maximum=1,
                minimum=None,
            ),
            Panel(
                title="Errors by class",
                description="Share of the films of a class that were called something else; alert above 40 %.",
                unit="percentunit",
                queries=(Query(f"cxr:class_error:7d{{{OF_VERSION}}}", "{{true}} ({{version}})"),),
                thresholds=((0.2, YELLOW), (0.4, RED)),
                maximum=1,
            ),
            Panel(
                title="Sensitivity by class",
                description="With Wilson's 95 % interval; for tuberculosis, WHO's triage profile asks for 0.9.",
                unit="percentunit",
                queries=_with_bounds("sensitivity", "{{true}}"),
                thresholds=((0.6, YELLOW), (0.9, GREEN)),
                base=RED,
                maximum=1,
            ),
            Panel(
                title="Specificity by class",
                description="With Wilson's 95 % interval; for tuberculosis, WHO's triage profile asks for 0.7.",
                unit="percentunit",
                queries=_with_bounds("specificity", "{{true}}"),
                thresholds=((0.7, YELLOW), (0.9, GREEN)),
                base=RED,
                maximum=1,
            ),
            Panel(
                title="Confirmed and called, last week",
                description="Films by confirmed label (true) and finding called (predicted).",
                queries=(Query(f"cxr:confusion:7d{{{OF_VERSION}}}", "{{true}} called {{predicted}}"),),
                thresholds=((1, GREEN),),
                base=YELLOW,
                kind="table",
                width=24,
            ),
        ),
        row(
            "Calibration",
            Panel(
                title="Reliability: accuracy by tenth of confidence",
                description="Should equal the confidence beside it; a bar below its confidence means overconfidence.",
                unit="percentunit",
                queries=(
                    Query(f"cxr:reliability_accuracy:7d{{{OF_VERSION}}}", "accuracy, bin {{bin}}"),
                    Query(f"cxr:reliability_confidence:7d{{{OF_VERSION}}}", "confidence, bin {{bin}}"),
                ),
                thresholds=((0.33, YELLOW), (0.6, GREEN)),
                base=RED,
                kind="bars",
                maximum=1,
            ),
            Panel(
                title="Slope of the reliability diagram",
                description="1 if calibrated; alert when 0.15 away and beyond its 95 % interval.",
                queries=(
                    Query(f"cxr:reliability_slope:7d{{{OF_VERSION}}}", "{{version}}"),
                    Query(
                        f"cxr:reliability_slope:7d{{{OF_VERSION}}} - 1.96 * cxr:reliability_slope_error:7d",
                        "{{version}}, lower",
                    ),
                    Query(
                        f"cxr:reliability_slope:7d{{{OF_VERSION}}} + 1.96 * cxr:reliability_slope_error:7d",
                        "{{version}}, upper",
                    ),
                ),
                thresholds=((0.85, GREEN), (1.15, RED)),
                base=RED,
                minimum=None,
            ),
            Panel(
                title="Expected calibration error",
                description="Mean distance of accuracy from confidence over tenths; alert above 0.1.",
                queries=(Query(f"cxr:ece:7d{{{OF_VERSION}}}", "{{version}}"),),
                thresholds=((0.05, YELLOW), (0.1, RED)),
            ),
            Panel(
                title="Labels by tenth of confidence",
                description="Films behind each bar of the reliability diagram; red bars rest on fewer than ten.",
                queries=(Query(f"cxr:reliability_films:7d{{{OF_VERSION}}}", "bin {{bin}}"),),
                thresholds=((10, YELLOW), (30, GREEN)),
                base=RED,
                kind="bars",
            ),
        ),
    ),
)
