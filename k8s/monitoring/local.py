"""The service with a Prometheus beside it, and Grafana where it is installed: `make monitor`.

All of it on the loopback interface, with the rules and dashboards that a cluster gets; for development, and for a look.
"""

import argparse
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

ROOT = FOLDER.parent.parent

# A week's rules need a week, its alerts a month.
RETENTION = "35d"

# Debian's package installs the first, Grafana's own both.
GRAFANA_PROGRAMS = ("grafana-server", "grafana")
GRAFANA_HOMES = (Path("/usr/share/grafana"), Path("/opt/homebrew/share/grafana"), Path("/usr/local/share/grafana"))


def main(argv: Sequence[str] | None = None) -> int:
    """Run until Ctrl-C, or until one of them ends. Exit status 1 if something is missing or ended by itself."""
    arguments = _parse(argv)
    if shutil.which("prometheus") is None:
        print("prometheus is not installed: `apt-get install prometheus`, `brew install prometheus` or prometheus.io/download.")
        print("Without it, `make serve` serves the model, and /metrics shows what it counts.")
        return 1
    arguments.data.mkdir(parents=True, exist_ok=True)
    # As by Ctrl-C, it is ended by a service manager; and by both, should a shell have begun it in the background.
    for ending in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ending, signal.default_int_handler)
    with ExitStack() as running:
        processes = {"service": running.enter_context(_process(_service(arguments.port), cwd=ROOT))}
        command = prometheus_command(
            arguments.data, arguments.prometheus_port, [f"127.0.0.1:{arguments.port}"], rules=RULES, interval="15s"
        )
        processes["prometheus"] = running.enter_context(_process(command, log=arguments.data / "prometheus.log"))
        print(f"Service     http://127.0.0.1:{arguments.port}")
        print(f"Prometheus  http://127.0.0.1:{arguments.prometheus_port}/alerts")
        grafana = next(filter(shutil.which, GRAFANA_PROGRAMS), None)
        if grafana:
            settings = grafana_settings(arguments.data, arguments.grafana_port, arguments.prometheus_port)
            command = grafana_command(grafana)
            log = arguments.data / "grafana.log"
            processes["grafana"] = running.enter_context(_process(command, environment=os.environ | settings, log=log))
            print(f"Grafana     http://127.0.0.1:{arguments.grafana_port}/dashboards")
        else:
            print("Grafana     is not installed; its dashboards are in k8s/monitoring/generated, ready to be imported")
        print("Ctrl-C ends all of it.", flush=True)
        return _wait(processes)


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
        # Nobody but this machine's users reaches it.
        "GF_AUTH_ANONYMOUS_ENABLED": "true",
        "GF_AUTH_ANONYMOUS_ORG_ROLE": "Viewer",
        # No usage data leaves the house: neither what Grafana reports and asks for by itself, nor what its pages fetch.
        "GF_ANALYTICS_REPORTING_ENABLED": "false",
        "GF_ANALYTICS_CHECK_FOR_UPDATES": "false",
        "GF_ANALYTICS_CHECK_FOR_PLUGIN_UPDATES": "false",
        "GF_PLUGINS_PREINSTALL_DISABLED": "true",
        "GF_NEWS_NEWS_FEED_ENABLED": "false",
        "GF_SECURITY_DISABLE_GRAVATAR": "true",
    }


def grafana_command(program: str) -> list[str]:
    """The command that runs Grafana; where it was installed is where its pages are."""
    home = next((path for path in GRAFANA_HOMES if path.is_dir()), None)
    return [program, *(["server"] if program == "grafana" else []), *([f"--homepath={home}"] if home else [])]


def _service(port: int) -> list[str]:
    return [sys.executable, "-m", "bentoml", "serve", "--host", "127.0.0.1", "--port", str(port)]


@contextmanager
def _process(
    command: Sequence[str], cwd: Path | None = None, environment: dict[str, str] | None = None, log: Path | None = None
) -> Iterator["subprocess.Popen[bytes]"]:
    """A process that is told to end when the block does. log: where its output goes, else to ours."""
    with ExitStack() as files:
        stream = files.enter_context(log.open("ab")) if log else None
        # In a group of its own: Ctrl-C reaches us alone, and we end them in their order.
        process = subprocess.Popen(  # noqa: S603 (programs named here, with arguments of our own)
            command, cwd=cwd, env=environment, stdout=stream, stderr=stream, start_new_session=True
        )
        try:
            yield process
        finally:
            process.terminate()
            process.wait()


def _wait(processes: dict[str, "subprocess.Popen[bytes]"]) -> int:
    try:
        while True:
            for name, process in processes.items():
                if process.poll() is not None:
                    print(f"{name} ended with status {process.returncode}; its output says why.", file=sys.stderr)
                    return 1
            sleep(0.5)
    except KeyboardInterrupt:
        return 0


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make monitor", description="Service, Prometheus and Grafana on this machine.")
    parser.add_argument("--port", type=int, default=3000, help="of the service")
    parser.add_argument("--prometheus-port", type=int, default=9090)
    parser.add_argument("--grafana-port", type=int, default=3001)
    parser.add_argument("--data", type=Path, default=ROOT / "monitoring", help="folder for what they keep (%(default)s)")
    return parser.parse_args(argv)


if __name__ == "__main__":
    raise SystemExit(main())
