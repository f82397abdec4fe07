"""Dashboard "Service": latency, traffic, errors, saturation."""

from k8s.monitoring.dashboards.panels import GREEN, RED, YELLOW, Dashboard, Panel, Query, row

# The alert's, in seconds (report, table 29).
SLOW = ((0.25, YELLOW), (0.5, RED))
FAILING = ((0.001, YELLOW), (0.01, RED))

SERVICE = Dashboard(
    uid="chest-xray-service",
    title="Chest X-ray: Service",
    description="Latency, traffic, errors and saturation of the service.",
    since="now-6h",
    rows=(
        row(
            "Now",
            Panel(
                title="Instances that serve",
                description="Instances with a trusted model, by its version; none is an incident.",
                queries=(Query("count by (version) (cxr_model_info == 1)", "{{version}}"),),
                thresholds=((1, GREEN),),
                base=RED,
                kind="stat",
                width=4,
            ),
            Panel(
                title="Fallback in use",
                description="1 while an instance uses an older release than the chosen one; /health says why.",
                queries=(Query("max(cxr_model_fallback_in_use)", "fallback"),),
                thresholds=((1, RED),),
                kind="stat",
                width=4,
            ),
            Panel(
                title="Slowest 5 %",
                description="95th percentile of /predict over 5 minutes; alert above 500 ms.",
                unit="s",
                queries=(Query('cxr:latency_p95:5m{endpoint="/predict"}', "p95"),),
                thresholds=SLOW,
                kind="stat",
                width=4,
            ),
            Panel(
                title="Server errors",
                description="Share of requests answered with a 5xx status over 5 minutes; alert above 1 %.",
                unit="percentunit",
                queries=(Query("cxr:server_errors:ratio5m", "5xx"),),
                thresholds=FAILING,
                kind="stat",
                width=4,
            ),
            Panel(
                title="In flight",
                description="Requests being answered, over all instances.",
                queries=(Query("cxr:in_flight", "requests"),),
                thresholds=((32, YELLOW), (64, RED)),
                kind="stat",
                width=4,
            ),
            Panel(
                title="Fullest queue",
                description="Films waiting, as a share of the limit beyond which films are refused.",
                unit="percentunit",
                queries=(Query("max(cxr_queue_depth / cxr_queue_limit)", "queue"),),
                thresholds=((0.25, YELLOW), (0.5, RED)),
                kind="stat",
                width=4,
            ),
        ),
        row(
            "Latency",
            Panel(
                title="Latency of /predict",
                description="From a request's head to the last byte of its answer; alert on the 95th percentile.",
                unit="s",
                queries=tuple(
                    Query(f'cxr:latency_{quantile}:5m{{endpoint="/predict"}}', quantile) for quantile in ("p50", "p95", "p99")
                ),
                thresholds=SLOW,
            ),
            Panel(
                title="95th percentile by endpoint",
                description="A batch is up to ten films, and the first explanation loads PyTorch.",
                unit="s",
                queries=(Query("cxr:latency_p95:5m", "{{endpoint}}"),),
                thresholds=SLOW,
            ),
            Panel(
                title="95th percentile by stage",
                description="Where a film's time goes: read, decode, preprocess, infer, observe, explain.",
                unit="s",
                queries=(
                    Query(
                        "histogram_quantile(0.95, sum by (le, stage) (rate(cxr_stage_seconds_bucket[$__rate_interval])))",
                        "{{stage}}",
                    ),
                ),
                thresholds=((0.1, YELLOW), (0.25, RED)),
            ),
            Panel(
                title="Time by stage",
                description="Seconds of work per second, which together approach the number of threads when busy.",
                unit="s",
                queries=(Query("sum by (stage) (rate(cxr_stage_seconds_sum[$__rate_interval]))", "{{stage}}"),),
                thresholds=((2, YELLOW), (4, RED)),
                stacked=True,
            ),
        ),
        row(
            "Traffic and errors",
            Panel(
                title="Requests by endpoint",
                description="Requests of the API per second, probes and scrapes aside; red when there are none.",
                unit="reqps",
                queries=(Query("sum by (endpoint) (cxr:requests:rate5m)", "{{endpoint}}"),),
                thresholds=((0.0001, GREEN),),
                base=RED,
                stacked=True,
            ),
            Panel(
                title="Requests by status",
                description="4xx is the caller's fault, 5xx the service's.",
                unit="reqps",
                queries=(Query("sum by (status) (cxr:requests:rate5m)", "{{status}}"),),
                thresholds=((0.0001, GREEN),),
                base=RED,
                stacked=True,
            ),
            Panel(
                title="Refusals by reason",
                description="Films and requests refused, per second, by the kind of problem.",
                unit="reqps",
                queries=(Query("sum by (problem) (rate(cxr_rejections_total[$__rate_interval]))", "{{problem}}"),),
                thresholds=((0.1, YELLOW), (1, RED)),
                stacked=True,
            ),
            Panel(
                title="How unusual the volume is",
                description="Standard deviations of this hour's requests from the week before; 0 until a week is known.",
                queries=(Query("cxr:requests:zscore or vector(0)", "z-score"),),
                thresholds=((-3, GREEN), (3, RED)),
                base=RED,
                minimum=None,
            ),
        ),
        row(
            "Saturation and model",
            Panel(
                title="Films that wait",
                description="By instance; half of the limit alerts, the limit refuses.",
                queries=(
                    Query("cxr_queue_depth", "{{instance}}"),
                    Query("max(cxr_queue_limit)", "limit"),
                ),
                thresholds=((16, YELLOW), (32, RED)),
            ),
            Panel(
                title="Requests in flight",
                description="By instance; the second metric that replicas are scaled on.",
                queries=(Query("cxr_requests_in_flight", "{{instance}}"),),
                thresholds=((8, YELLOW), (16, RED)),
            ),
            Panel(
                title="Bundles not trusted, reloads",
                description="Bundles that failed their hashes or golden inputs, and reloads, in the last hour.",
                queries=(
                    Query("sum(increase(cxr_model_fallbacks_total[1h]))", "not trusted"),
                    Query("sum(increase(cxr_model_reloads_total[1h])) or vector(0)", "reloads"),
                ),
                thresholds=((1, RED),),
            ),
            Panel(
                title="Alerts",
                description="Everything that is pending or firing; each alert's runbook section is in k8s/RUNBOOK.md.",
                queries=(Query('ALERTS{alertname=~"ChestXray.*"}', "{{alertname}}"),),
                thresholds=((1, RED),),
                kind="table",
            ),
        ),
    ),
)
