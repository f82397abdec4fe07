"""Write what is generated here: `python -m k8s.monitoring`, or `--check` whether it is up to date.

From dashboards/*.py one JSON file for each dashboard, and from rules.yaml the Prometheus operator's PrometheusRule.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import yaml

from k8s.monitoring import GENERATED, RULES
from k8s.monitoring.dashboards.drift import DRIFT
from k8s.monitoring.dashboards.model import MODEL
from k8s.monitoring.dashboards.panels import model_of
from k8s.monitoring.dashboards.quality import QUALITY
from k8s.monitoring.dashboards.service import SERVICE

DASHBOARDS = (SERVICE, MODEL, DRIFT, QUALITY)


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status 1 if --check finds a file that is not what the code makes."""
    parser = argparse.ArgumentParser(prog="python -m k8s.monitoring", description="Dashboards and operator rules.")
    parser.add_argument("--check", action="store_true", help="write nothing; say which files are out of date")
    arguments = parser.parse_args(argv)
    wanted = generated()
    stale = [name for name, text in wanted.items() if _read(GENERATED / name) != text]
    if arguments.check:
        if stale:
            print(f"Out of date: {', '.join(stale)}; run `python -m k8s.monitoring`.", file=sys.stderr)
        return int(bool(stale))
    GENERATED.mkdir(exist_ok=True)
    for name in stale:
        (GENERATED / name).write_text(wanted[name], "utf-8")
    print(f"{len(stale)} of {len(wanted)} files written to {GENERATED}")
    return 0


def generated() -> dict[str, str]:
    """File name -> text."""
    files = {f"{each.uid}.json": json.dumps(model_of(each), indent=2) + "\n" for each in DASHBOARDS}
    return files | {"prometheus-rule.yaml": operator_rule()}


def operator_rule() -> str:
    """rules.yaml as the Prometheus operator takes it."""
    resource = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "chest-xray"},
        "spec": yaml.safe_load(RULES.read_text("utf-8")),
    }
    heading = "# Generated from rules.yaml by `python -m k8s.monitoring`.\n"
    return heading + yaml.safe_dump(resource, sort_keys=False, width=120)


def _read(path: Path) -> str | None:
    return path.read_text("utf-8") if path.exists() else None


if __name__ == "__main__":
    raise SystemExit(main())
