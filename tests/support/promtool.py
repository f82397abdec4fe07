"""Runs the Prometheus rules on synthetic series, with `promtool test rules`."""

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import yaml

from k8s.monitoring import RULES

needs_promtool = pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed (Debian: prometheus)")


def promtool(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(["promtool", *arguments], capture_output=True, text=True, check=False)


def series(name: str, values: str, **labels: str) -> dict[str, str]:
    """One input series. values: in promtool's notation, one for each interval from 0 on."""
    selector = ",".join(f'{label}="{value}"' for label, value in labels.items())
    return {"series": f"{name}{{{selector}}}", "values": values}


def assert_values(
    inputs: Sequence[Mapping[str, str]], expected: Mapping[str, float | None], at: str, interval: str = "1m"
) -> None:
    """Fail unless the sum of each expression has its value at the moment `at`, to 1e-6; None: there is no sample.

    inputs: of `series`, with a value every `interval`.
    """
    # promtool compares to the last bit, which no sum over bins keeps.
    checks = [
        f"abs(sum({expression}) - ({value!r})) < bool 1e-6" if value is not None else f"count(absent({expression}))"
        for expression, value in expected.items()
    ]
    result = run_rules_test(inputs, {"promql_expr_test": [_check(expression, at) for expression in checks]}, interval)
    assert result.returncode == 0, result.stdout + result.stderr


def firing(inputs: Sequence[Mapping[str, str]], alert: str, at: str, interval: str = "1m") -> bool:
    """Whether the alert fires at the moment `at`."""
    fires = f'(count(ALERTS{{alertname="{alert}",alertstate="firing"}}) or vector(0)) > bool 0'
    result = run_rules_test(inputs, {"promql_expr_test": [_check(fires, at)]}, interval)
    printed = result.stdout + result.stderr
    assert result.returncode == 0 or "got: {} 0E+00" in printed, printed
    return result.returncode == 0


def run_rules_test(
    inputs: Sequence[Mapping[str, str]], checks: Mapping[str, Any], interval: str
) -> "subprocess.CompletedProcess[str]":
    """One test of promtool's: `checks` are its promql_expr_test or alert_rule_test."""
    test = {"interval": interval, "input_series": list(inputs), **checks}
    with TemporaryDirectory() as folder:
        path = Path(folder, "test.yaml")
        content = {"rule_files": [str(RULES)], "evaluation_interval": interval, "tests": [test]}
        path.write_text(yaml.safe_dump(content), "utf-8")
        return promtool("test", "rules", str(path))


def _check(expression: str, at: str) -> dict[str, Any]:
    return {"expr": expression, "eval_time": at, "exp_samples": [{"labels": "{}", "value": 1}]}
