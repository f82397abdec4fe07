import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import ClassVar

import pytest

from training.errors import ConfigError
from training.retraining.triggers import enough_labels, firing_alerts


class Handler(BaseHTTPRequestHandler):
    """Answers as Prometheus does; another test asks a real one."""

    alerts: ClassVar[list[dict[str, str]]] = []
    asked: ClassVar[list[str]] = []
    body: ClassVar[bytes | None] = None

    def do_GET(self):
        type(self).asked.append(f"{self.path} {self.headers.get('Authorization')}")
        result = [{"metric": {"__name__": "ALERTS", **each}, "value": [0, "1"]} for each in self.alerts]
        content = self.body or json.dumps({"status": "success", "data": {"resultType": "vector", "result": result}}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass


@contextmanager
def alerting(*alerts, body=None):
    handler = type("Answers", (Handler,), {"alerts": list(alerts), "asked": [], "body": body})
    server = HTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", handler.asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_alerts_that_fire_are_triggers_with_what_they_are_about(monkeypatch):
    monkeypatch.setenv("PROMETHEUS_TOKEN", "a-token")
    alert = {"alertname": "ChestXrayRetrainDrift", "feature": "mean", "version": "1.1.1", "alertstate": "firing"}
    with alerting(alert) as (address, asked):
        [trigger] = firing_alerts(address)
    assert str(trigger) == "ChestXrayRetrainDrift (feature mean, version 1.1.1)"
    assert "retraining" in asked[0] and asked[0].endswith("Bearer a-token")


@pytest.mark.parametrize("address", ["http://127.0.0.1:9", "prometheus:9090", "file:///etc/passwd"])
def test_a_prometheus_that_does_not_answer_is_named_with_the_way_around(address):
    with pytest.raises(ConfigError, match="--prometheus"):
        firing_alerts(address)


def test_an_answer_that_is_not_prometheus_is_no_silence():
    with alerting(body=b"<html>") as (address, _), pytest.raises(ConfigError, match="does not say"):
        firing_alerts(address)


def test_more_than_enough_labels_are_a_trigger():
    assert enough_labels(1000, 1000) == []
    assert [trigger.name for trigger in enough_labels(1001, 1000)] == ["NewLabels"]
