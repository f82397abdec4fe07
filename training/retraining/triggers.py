"""Reasons to retrain (REPORT 8.4): firing alerts of Prometheus, and confirmed labels."""

import json
import os
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass

from training.errors import ConfigError

# The alerts of k8s/monitoring/rules.yaml that ask for retraining.
QUERY = 'ALERTS{alertstate="firing", retraining="true"}'

TOKEN_VARIABLE = "PROMETHEUS_TOKEN"  # noqa: S105  # nosec B105 (a name, not a secret)
TIMEOUT_SECONDS = 30


@dataclass(frozen=True)
class Trigger:
    """A reason to retrain. name: of the alert, "NewLabels" or "Asked for". detail: for people."""

    name: str
    detail: str

    def __str__(self) -> str:
        return f"{self.name} ({self.detail})" if self.detail else self.name


def firing_alerts(prometheus: str) -> list[Trigger]:
    """The retraining alerts that fire now. prometheus: its address, such as http://prometheus:9090.

    The environment variable PROMETHEUS_TOKEN may hold a bearer token. Raises ConfigError if Prometheus does not answer, or not
    in its format.
    """
    if urllib.parse.urlsplit(prometheus).scheme not in ("http", "https"):
        raise ConfigError(f"--prometheus is {prometheus!r}; give an address like http://prometheus:9090.")
    url = f"{prometheus.rstrip('/')}/api/v1/query?{urllib.parse.urlencode({'query': QUERY})}"
    token = os.environ.get(TOKEN_VARIABLE)
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"} if token else {})  # noqa: S310 (checked)
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as response:  # noqa: S310  # nosec B310
            found = json.load(response)["data"]["result"]
        return [_trigger(each["metric"]) for each in found]
    except (urllib.error.URLError, OSError, ValueError, KeyError, TypeError) as fault:
        raise ConfigError(
            f"Prometheus at {prometheus} does not say which alerts fire ({fault}); check --prometheus and {TOKEN_VARIABLE}, or "
            'retrain without it: --force "reason".'
        ) from fault


def _trigger(labels: dict[str, str]) -> Trigger:
    shown = {name: labels[name] for name in ("feature", "true", "version", "site") if name in labels}
    return Trigger(labels["alertname"], ", ".join(f"{name} {value}" for name, value in shown.items()))


def enough_labels(labels: int, enough: int) -> list[Trigger]:
    """The trigger of new labels if there are more than `enough`, else no trigger."""
    return [Trigger("NewLabels", f"{labels} confirmed, more than {enough}")] if labels > enough else []
