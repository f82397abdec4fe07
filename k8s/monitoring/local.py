"""Runs the service with a Prometheus beside it, and Grafana if it is installed, with a cluster's rules and dashboards.

All on the loopback interface; for development.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import sleep
from typing import Any

from k8s.monitoring import FOLDER, GENERATED, RULES
from service.film.errors import ChestXrayError

ROOT = FOLDER.parent.parent

# Recording rules look back 7 days, the alert on labels for retraining 30.
RETENTION = "35d"

# Debian's package installs the first, Grafana's own package both.
GRAFANA_PROGRAMS = ("grafana-server", "grafana")
GRAFANA_HOMES = (Path("/usr/share/grafana"), Path("/opt/homebrew/share/grafana"), Path("/usr/local/share/grafana"))


class MonitoringFailed(ChestXrayError):
    """A program is missing, or ended by itself."""


def run_monitoring(data: Path, port: int, prometheus_port: int, grafana_port: int) -> None:
    """Run service, Prometheus and Grafana until Ctrl-C. data: folder for their data and logs. Raises MonitoringFailed."""
    if shutil.which("prometheus") is None:
        raise MonitoringFailed(
            "prometheus is not installed: `apt-get install prometheus`, `brew install prometheus` or prometheus.io/download. "
            "Without it, `cxr serve` serves the model, and /metrics shows its counters."
        )
    data.mkdir(parents=True, exist_ok=True)
    # SIGTERM, as a service manager sends, ends everything like Ctrl-C. SIGINT is set as well: a shell that starts this in the
    # background has it ignored.
    for ending in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ending, signal.default_int_handler)
    service = [sys.executable, "-m", "bentoml", "serve", "--host", "127.0.0.1", "--port", str(port)]
    with ExitStack() as running:
        processes = {"service": running.enter_context(_process(service, cwd=ROOT))}
        command = prometheus_command(data, prometheus_port, [f"127.0.0.1:{port}"], rules=RULES, interval="15s")
        processes["prometheus"] = running.enter_context(_process(command, log=data / "prometheus.log"))
        print(f"Service     http://127.0.0.1:{port}")
        print(f"Prometheus  http://127.0.0.1:{prometheus_port}/alerts")
        grafana = next(filter(shutil.which, GRAFANA_PROGRAMS), None)
        if grafana:
            environment = os.environ | grafana_settings(data, grafana_port, prometheus_port)
            command = grafana_command(grafana)
            processes["grafana"] = running.enter_context(_process(command, environment=environment, log=data / "grafana.log"))
            print(f"Grafana     http://127.0.0.1:{grafana_port}/dashboards")
        else:
            print("Grafana     is not installed; import its dashboards from k8s/monitoring/generated")
        print("Ctrl-C ends all of them.", flush=True)
        _wait(processes)


def prometheus_command(data: Path, port: int, targets: Sequence[str], rules: Path, interval: str) -> list[str]:
    """Write a configuration below `data` and return the command that runs Prometheus with it.

    targets: host:port of instances of the service. interval: how often they are scraped and plain rules evaluated.
    """
    configuration: dict[str, Any] = {
        "global": {"scrape_interval": interval, "evaluation_interval": interval},
        "rule_files": [str(rules)],
        "scrape_configs": [{"job_name": "chest-xray", "static_configs": [{"targets": list(targets)}]}],
    }
    path = data / "prometheus.yml"
    path.write_text(json.dumps(configuration, indent=2), "utf-8")  # JSON is YAML
    return [
        "prometheus",
        f"--config.file={path}",
        f"--storage.tsdb.path={data / 'prometheus'}",
        f"--storage.tsdb.retention.time={RETENTION}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]


def grafana_settings(data: Path, port: int, prometheus_port: int) -> dict[str, str]:
    """Write the provisioning of data source and dashboards below `data` and return Grafana's environment variables for it."""
    provisioning = data / "grafana-provisioning"
    source = {"name": "Prometheus", "type": "prometheus", "url": f"http://127.0.0.1:{prometheus_port}", "isDefault": True}
    provider = {"name": "chest-xray", "type": "file", "options": {"path": str(GENERATED)}}
    files = {
        "datasources": {"apiVersion": 1, "datasources": [source | {"access": "proxy"}]},
        "dashboards": {"apiVersion": 1, "providers": [provider]},
    }
    for kind, content in files.items():
        (provisioning / kind).mkdir(parents=True, exist_ok=True)
        (provisioning / kind / "chest-xray.yaml").write_text(json.dumps(content, indent=2), "utf-8")
    return {
        "GF_PATHS_DATA": str(data / "grafana"),
        "GF_PATHS_PROVISIONING": str(provisioning),
        "GF_SERVER_HTTP_ADDR": "127.0.0.1",
        "GF_SERVER_HTTP_PORT": str(port),
        # Only users of this machine can reach it.
        "GF_AUTH_ANONYMOUS_ENABLED": "true",
        "GF_AUTH_ANONYMOUS_ORG_ROLE": "Viewer",
        # No usage data leaves the machine: Grafana neither reports nor looks for updates, and its pages fetch nothing else.
        "GF_ANALYTICS_REPORTING_ENABLED": "false",
        "GF_ANALYTICS_CHECK_FOR_UPDATES": "false",
        "GF_ANALYTICS_CHECK_FOR_PLUGIN_UPDATES": "false",
        "GF_PLUGINS_PREINSTALL_DISABLED": "true",
        "GF_NEWS_NEWS_FEED_ENABLED": "false",
        "GF_SECURITY_DISABLE_GRAVATAR": "true",
    }


def grafana_command(program: str) -> list[str]:
    """The command that runs Grafana, with its home folder if it is one of GRAFANA_HOMES."""
    home = next((path for path in GRAFANA_HOMES if path.is_dir()), None)
    return [program, *(["server"] if program == "grafana" else []), *([f"--homepath={home}"] if home else [])]


@contextmanager
def _process(
    command: Sequence[str], cwd: Path | None = None, environment: dict[str, str] | None = None, log: Path | None = None
) -> Iterator["subprocess.Popen[bytes]"]:
    """A process that is terminated when the block ends. log: file for its output; None leaves it with this process's."""
    with ExitStack() as files:
        stream = files.enter_context(log.open("ab")) if log else None
        # In a session of its own, so that Ctrl-C reaches this process alone, which then ends the others in order.
        process = subprocess.Popen(  # noqa: S603 (programs named here, with arguments of our own)
            command, cwd=cwd, env=environment, stdout=stream, stderr=stream, start_new_session=True
        )
        try:
            yield process
        finally:
            process.terminate()
            process.wait()


def _wait(processes: dict[str, "subprocess.Popen[bytes]"]) -> None:
    try:
        while True:
            for name, process in processes.items():
                if process.poll() is not None:
                    raise MonitoringFailed(f"{name} ended with status {process.returncode}; its output says why.")
            sleep(0.5)
    except KeyboardInterrupt:
        pass
