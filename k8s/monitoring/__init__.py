"""Prometheus rules, Grafana dashboards, and both beside a local service."""

from pathlib import Path

FOLDER = Path(__file__).resolve().parent
RULES = FOLDER / "rules.yaml"
GENERATED = FOLDER / "generated"
