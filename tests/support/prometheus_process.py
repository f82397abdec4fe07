"""A real Prometheus on a loopback port, with the repository's rules, evaluated every second."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from k8s.monitoring import RULES
from k8s.monitoring.local import prometheus_command
from tests.support.server.serving import free_port
from tests.support.waiting import eventually

needs_prometheus = pytest.mark.skipif(shutil.which("prometheus") is None, reason="Prometheus is not installed")


def hurried_rules(path: Path) -> Path:
    """The repository's rules, evaluated every second; alerts fire after one second. Expressions are unchanged."""
    rules = yaml.safe_load(RULES.read_text("utf-8"))
    for group in rules["groups"]:
        group["interval"] = "1s"
        for rule in group["rules"]:
            if "for" in rule:
                rule["for"] = "1s"
    path.write_text(yaml.safe_dump(rules), "utf-8")
    return path


class Prometheus:
    def __init__(self, address: str) -> None:
        self.address = address

    def query(self, expression: str) -> dict[tuple[tuple[str, str], ...], float]:
        """An instant query: sorted labels -> value."""
        answer = self._get("/api/v1/query", query=expression)
        result = answer["data"]["result"]
        if answer["data"]["resultType"] == "scalar":
            return {(): float(result[1])}
        return {tuple(sorted(each["metric"].items())): float(each["value"][1]) for each in result}

    def value(self, expression: str) -> float | None:
        """The only sample of an instant query; None without one."""
        values = list(self.query(expression).values())
        assert len(values) <= 1, (expression, values)
        return values[0] if values else None

    def firing(self) -> set[str]:
        alerts = self._get("/api/v1/alerts")["data"]["alerts"]
        return {alert["labels"]["alertname"] for alert in alerts if alert["state"] == "firing"}

    def _get(self, path: str, **parameters: str) -> dict[str, Any]:
        return httpx.get(self.address + path, params=parameters, timeout=10).raise_for_status().json()


@contextmanager
def prometheus(targets: Sequence[str]) -> Iterator[Prometheus]:
    """targets: host:port, scraped every second."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as log:
        rules = hurried_rules(Path(folder, "rules.yaml"))
        command = prometheus_command(Path(folder), port, targets, rules=rules, interval="1s")
        process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            running = Prometheus(f"http://127.0.0.1:{port}")
            assert eventually(lambda: _answers(running), bool), log
            yield running
        finally:
            process.terminate()
            process.wait()


def _answers(running: Prometheus) -> bool:
    try:
        return running.value("vector(1)") == 1
    except httpx.HTTPError:
        return False
