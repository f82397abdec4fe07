"""Dashboard "Model": findings, confidence, and films flagged for review."""

from k8s.monitoring.dashboards.panels import GREEN, RED, YELLOW, Dashboard, Panel, Query, Variable, row

VERSION = Variable("version", "Model version", "label_values(cxr_model_info, version)")

OF_VERSION = 'version=~"$version"'

MODEL = Dashboard(
    uid="chest-xray-model",
    title="Chest X-ray: Model",
    description="Findings, confidence and review flags.",
    variables=(VERSION,),
    rows=(
        row(
            "Findings",
            Panel(
                title="Films judged",
                description="Per second, by the finding called; red when none are.",
                unit="reqps",
                queries=(
                    Query(f"sum by (finding) (rate(cxr_predictions_total{{{OF_VERSION}}}[$__rate_interval]))", "{{finding}}"),
                ),
                thresholds=((0.0001, GREEN),),
                base=RED,
                stacked=True,
            ),
            Panel(
                title="Share of the findings, last day",
                description="Of the most probable findings, beside their share on the reference; alert at 15 points.",
                unit="percentunit",
                queries=(
                    Query(f'cxr:drift_share:1d{{feature="predicted_class", {OF_VERSION}}}', "{{bin}}"),
                    Query(f'cxr:reference:share{{feature="predicted_class", {OF_VERSION}}}', "reference: {{bin}}"),
                ),
                thresholds=((0.65, YELLOW), (0.8, RED)),
                maximum=1,
            ),
            Panel(
                title="Largest change of a share",
                description="Points between a finding's share in the last day and on the reference; alert above 15.",
                unit="percentunit",
                queries=(Query(f"cxr:class_shift:1d{{{OF_VERSION}}}", "{{version}}"),),
                thresholds=((0.1, YELLOW), (0.15, RED)),
            ),
            Panel(
                title="Films by version",
                description="Per second; two versions at once while a canary or a roll-out runs. Red when there are none.",
                unit="reqps",
                queries=(Query("sum by (version) (rate(cxr_predictions_total[$__rate_interval]))", "{{version}}"),),
                thresholds=((0.0001, GREEN),),
                base=RED,
                stacked=True,
            ),
        ),
        row(
            "Confidence",
            Panel(
                title="Mean confidence, last day",
                description="Mean of the largest probability; alert below 0.6.",
                unit="percentunit",
                queries=(Query(f"cxr:confidence_mean:1d{{{OF_VERSION}}}", "{{version}}"),),
                thresholds=((0.6, YELLOW), (0.75, GREEN)),
                base=RED,
                minimum=0.33,
                maximum=1,
            ),
            Panel(
                title="Confidence of the least confident films",
                description="The confidence that 5, 10 and 50 % of the films of the last hour do not reach.",
                unit="percentunit",
                queries=tuple(
                    Query(
                        f"histogram_quantile({share}, sum by (le) (rate(cxr_confidence_bucket{{{OF_VERSION}}}[1h])))",
                        f"{share:.0%}",
                    )
                    for share in (0.05, 0.1, 0.5)
                ),
                thresholds=((0.4, YELLOW), (0.6, GREEN)),
                base=RED,
                minimum=0.33,
                maximum=1,
            ),
            Panel(
                title="Films by confidence, last day",
                description="Share of films up to each confidence; more than half below 0.6 would be unusual.",
                unit="percentunit",
                queries=(
                    Query(
                        f"sum by (le) (increase(cxr_confidence_bucket{{{OF_VERSION}}}[1d])) / on () group_left () "
                        f"sum(increase(cxr_confidence_count{{{OF_VERSION}}}[1d]))",
                        "up to {{le}}",
                    ),
                ),
                thresholds=((0.5, YELLOW), (1.01, RED)),
                kind="bars",
                maximum=1,
            ),
        ),
        row(
            "Review",
            Panel(
                title="Films for review, last day",
                description="Share of films that a person must look at; about 10 % on the test split.",
                unit="percentunit",
                queries=(Query(f"cxr:review:ratio1d{{{OF_VERSION}}}", "{{version}}"),),
                thresholds=((0.2, YELLOW), (0.4, RED)),
                maximum=1,
            ),
            Panel(
                title="Reasons for review",
                description="Films per hour, by reason; a film may have several.",
                queries=(Query(f"sum by (reason) (increase(cxr_reviews_total{{{OF_VERSION}}}[1h]))", "{{reason}}"),),
                thresholds=((50, YELLOW), (200, RED)),
                stacked=True,
            ),
        ),
    ),
)
