"""Triggers, new films and the verdict, each by itself."""

import csv
import hashlib
import json
import shutil
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import ClassVar

import cv2
import pytest

from export.phantom import phantom_film
from service.model.findings import FINDINGS, Finding
from tests.support.encoded_films import encode
from training.data.folder import MANIFEST_NAME, SPLITS, scan_folder
from training.data.validation_report import ValidationLimits
from training.errors import ConfigError, DatasetError
from training.retraining.films import SOURCE, NewFilms, assemble
from training.retraining.triggers import ConfirmedLabel, enough_labels, firing_alerts, read_labels
from training.retraining.verdict import judge_challenger

LIMITS = ValidationLimits(near_duplicate_bits=3)


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


def test_of_a_film_that_was_reported_twice_the_last_label_counts(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text("image_sha256,label,request_id\naa,Normal,1\nbb,Normal,2\naa,Pneumonia,3\n")
    assert {(each.image_sha256, each.label) for each in read_labels(path)} == {("aa", "Pneumonia"), ("bb", "Normal")}


@pytest.fixture
def base(phantom_dataset):
    return phantom_dataset(manifest=True)


def archived(folder, finding, seed):
    """A film in the archive, and its confirmed label."""
    data = encode(phantom_film(finding, seed, 160), "PNG")
    folder.mkdir(exist_ok=True)
    (folder / f"{seed}.png").write_bytes(data)
    return ConfirmedLabel(hashlib.sha256(data).hexdigest(), finding.value, f"request-{seed}")


def test_films_of_the_archive_join_the_training_split_and_no_other(base, tmp_path):
    labels = [archived(tmp_path / "archive", finding, 90_000 + place) for place, finding in enumerate(FINDINGS)]
    labels.append(ConfirmedLabel("ff" * 32, "Normal", "request"))
    out = tmp_path / "data"
    assert assemble(base, tmp_path / "archive", labels, out, LIMITS) == NewFilms(3, 1, 0, 0)
    before, now = scan_folder(base, required=SPLITS), scan_folder(out, required=SPLITS)
    new = {film.relative for film in now} - {film.relative for film in before}
    assert {film.split for film in now if film.relative in new} == {"train"}
    assert {film.source for film in now if film.relative in new} == {SOURCE}
    assert sorted(film.finding for film in now if film.relative in new) == sorted(FINDINGS)
    assert {film.relative for film in before} <= {film.relative for film in now}


def test_a_film_that_judges_is_never_trained_on(base, tmp_path):
    [film] = list((base / "test" / "Normal").iterdir())[:1]
    archive = tmp_path / "archive"
    archive.mkdir()
    shutil.copy(film, archive)
    # The same picture in another file: one grey level off in a corner.
    pixels = cv2.imread(str(film), cv2.IMREAD_GRAYSCALE)
    pixels[0, 0] ^= 1
    twin = encode(pixels, "PNG")
    (archive / "twin.png").write_bytes(twin)
    labels = [ConfirmedLabel(hashlib.sha256(data).hexdigest(), "Pneumonia", "request") for data in (film.read_bytes(), twin)]
    out = tmp_path / "data"
    assert assemble(base, archive, labels, out, LIMITS) == NewFilms(added=0, not_in_archive=0, known=1, too_close=1)
    assert {film.relative for film in scan_folder(out)} == {film.relative for film in scan_folder(base)}
    with (out / MANIFEST_NAME).open(newline="") as stream:
        assert len(list(csv.DictReader(stream))) == len(scan_folder(base))


def test_the_data_set_itself_is_left_as_it_is(base, tmp_path):
    before = {path: path.read_bytes() for path in base.rglob("*") if path.is_file()}
    labels = [archived(tmp_path / "archive", Finding.NORMAL, 91_000)]
    for _ in range(2):  # a second start makes the folder anew
        assert assemble(base, tmp_path / "archive", labels, tmp_path / "data", LIMITS).added == 1
    assert {path: path.read_bytes() for path in base.rglob("*") if path.is_file()} == before


def test_an_archive_that_is_not_there_is_named(base, tmp_path):
    with pytest.raises(DatasetError, match="archive"):
        assemble(base, tmp_path / "nowhere", [], tmp_path / "data", LIMITS)


FILMS = {finding.value: 100 for finding in FINDINGS}


def figures(value, low, high, name):
    return {name: value, "interval_95": {name: [low, high]}}


def differences(overall, recalls=((0.0, -0.1, 0.1),) * 3):
    per_class = {
        finding.value: {
            "recall": recall[0],
            "auc": 0.0,
            "interval_95": {"recall": list(recall[1:]), "auc": [-0.1, 0.1]},
        }
        for finding, recall in zip(FINDINGS, recalls, strict=True)
    }
    return {"headline": figures(*overall, "macro_f1"), "per_class": per_class}


def test_a_challenger_that_is_better_and_nowhere_worse_takes_over():
    verdict = judge_challenger(differences((0.02, 0.003, 0.04)), FILMS)
    assert verdict.promote and "macro_f1 +0.020 (+0.003 to +0.040)" in str(verdict)


@pytest.mark.parametrize("overall", [(0.02, -0.001, 0.04), (0.0, 0.0, 0.0), (-0.1, -0.2, -0.05), (None, None, None)])
def test_a_gain_that_may_be_chance_is_none(overall):
    assert not judge_challenger(differences(overall), FILMS).promote


def test_a_class_that_is_worse_beyond_chance_outweighs_a_gain():
    recalls = ((0.1, 0.05, 0.15), (0.0, -0.1, 0.1), (-0.05, -0.09, -0.01))
    verdict = judge_challenger(differences((0.02, 0.01, 0.04), recalls), FILMS)
    assert not verdict.promote
    assert "recall of Tuberculosis -0.050 (-0.090 to -0.010)" in str(verdict)


def test_one_film_that_changed_sides_says_nothing():
    """Of 100 films one became wrong: the centred interval ends a hundredth of a film below zero."""
    recalls = ((0.0, -0.1, 0.1), (0.0, -0.1, 0.1), (-0.01, -0.03, -0.0001))
    assert judge_challenger(differences((0.02, 0.01, 0.04), recalls), FILMS).promote
    assert not judge_challenger(differences((0.003, 0.0001, 0.01)), FILMS).promote


def test_a_class_without_figures_is_not_worse():
    recalls = ((None, None, None), (0.0, -0.1, 0.1), (0.0, -0.1, 0.1))
    assert judge_challenger(differences((0.02, 0.01, 0.04), recalls), FILMS).promote
