"""`cxr monitor`: what it starts, with which settings, and how it ends."""

import json
import signal
import subprocess
import sys
import urllib.request

import pytest

from k8s.monitoring import GENERATED, RULES
from k8s.monitoring.local import grafana_command, grafana_settings
from service.commands.cxr import main
from tests.support.prometheus_process import needs_prometheus
from tests.support.server.serving import ROOT, environment_without_settings, free_port
from tests.support.waiting import eventually


def test_without_prometheus_the_error_says_how_to_install_it(monkeypatch, capsys):
    monkeypatch.setenv("PATH", "")
    assert main(["monitor"]) == 1
    assert "apt-get install prometheus" in capsys.readouterr().err


def test_grafana_is_given_its_data_source_and_dashboards(tmp_path):
    settings = grafana_settings(tmp_path, 3001, 9090)
    provisioning = tmp_path / "grafana-provisioning"
    assert settings["GF_PATHS_PROVISIONING"] == str(provisioning) and settings["GF_SERVER_HTTP_ADDR"] == "127.0.0.1"
    [source] = json.loads((provisioning / "datasources" / "chest-xray.yaml").read_text())["datasources"]
    assert source["type"] == "prometheus" and source["url"] == "http://127.0.0.1:9090"
    [provider] = json.loads((provisioning / "dashboards" / "chest-xray.yaml").read_text())["providers"]
    assert provider["options"]["path"] == str(GENERATED)
    assert grafana_command("grafana")[:2] == ["grafana", "server"]
    assert grafana_command("grafana-server")[0] == "grafana-server"


@pytest.mark.slow
@needs_prometheus
def test_service_and_prometheus_run_beside_each_other_and_end_together(tmp_path):
    port, prometheus_port = free_port(), free_port()
    environment = environment_without_settings()
    ports = ["--port", str(port), "--prometheus-port", str(prometheus_port), "--data", str(tmp_path / "data")]
    with (tmp_path / "log").open("wb") as log:
        running = subprocess.Popen(
            [sys.executable, "-m", "service.commands.cxr", "monitor", *ports],
            cwd=ROOT,
            env=environment | {"CXR_DATABASE_URL": f"sqlite:///{tmp_path}/records.db"},
            stdout=log,
            stderr=log,
        )
        try:
            query = f"http://127.0.0.1:{prometheus_port}/api/v1/query?query=cxr_model_info"
            answer = eventually(lambda: asked(query), bool, 90)
            assert answer, (tmp_path / "log").read_text()
            rules = asked(f"http://127.0.0.1:{prometheus_port}/api/v1/rules", "groups")
            assert {group["file"] for group in rules} == {str(RULES)}
        finally:
            running.send_signal(signal.SIGINT)
            try:
                status = running.wait(60)
            finally:
                running.terminate()  # does nothing to one that has ended
    assert status == 0, (tmp_path / "log").read_text()
    assert asked(query) is None and asked(f"http://127.0.0.1:{port}/livez") is None


def asked(url, member="result"):
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return json.load(response)["data"][member]
    except OSError:
        return None
