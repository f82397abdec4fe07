"""Prometheus rules and Grafana dashboards, for a cluster and for a service on this machine."""

from pathlib import Path

FOLDER = Path(__file__).resolve().parent
RULES = FOLDER / "rules.yaml"
GENERATED = FOLDER / "generated"
