"""`cxr monitor` and `cxr dashboards`."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from k8s.monitoring import FOLDER, GENERATED

_DATA = FOLDER.parents[1] / "monitoring"


def monitor(
    port: Annotated[int, typer.Option(help="Port of the service.")] = 3000,
    prometheus_port: Annotated[int, typer.Option(help="Port of Prometheus.")] = 9090,
    grafana_port: Annotated[int, typer.Option(help="Port of Grafana.")] = 3001,
    data: Annotated[Path, typer.Option(metavar="DIR", help="Folder for data and logs of both.")] = _DATA,
) -> None:
    """Serve with a Prometheus beside the service, and Grafana if it is installed.

    Example: cxr monitor --port 3000
    """
    from k8s.monitoring.local import run_monitoring

    run_monitoring(data, port, prometheus_port, grafana_port)


def dashboards(
    check: Annotated[bool, typer.Option("--check", help="Write nothing; exit with 1 if a file is out of date.")] = False,
) -> None:
    """Write the Grafana dashboards and the Prometheus operator's rules from their sources.

    Example: cxr dashboards --check
    """
    from k8s.monitoring.generate import stale_files

    stale = stale_files()
    if check and stale:
        print(f"Out of date: {', '.join(stale)}; run `cxr dashboards`.", file=sys.stderr)
        raise typer.Exit(1)
    if not check:
        GENERATED.mkdir(exist_ok=True)
        for name, text in stale.items():
            (GENERATED / name).write_text(text, "utf-8")
        print(f"{len(stale)} files written to {GENERATED}")
