"""Generates the files of generated/: each dashboard as JSON, and rules.yaml as a PrometheusRule of the Prometheus operator."""

import json

import yaml

from k8s.monitoring import GENERATED, RULES
from k8s.monitoring.panels import model_of, read_dashboards


def stale_files() -> dict[str, str]:
    """File name -> text to write, of the files that are missing or out of date."""
    files = {f"{each.uid}.json": json.dumps(model_of(each), indent=2) + "\n" for each in read_dashboards()}
    files["prometheus-rule.yaml"] = _operator_rule()
    return {
        name: text
        for name, text in files.items()
        if not (GENERATED / name).exists() or (GENERATED / name).read_text("utf-8") != text
    }


def _operator_rule() -> str:
    resource = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "chest-xray"},
        "spec": yaml.safe_load(RULES.read_text("utf-8")),
    }
    heading = "# Generated from rules.yaml by `cxr dashboards`.\n"
    return heading + yaml.safe_dump(resource, sort_keys=False, width=120)
