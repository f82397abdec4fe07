"""`cxr evaluate` on phantoms and a real bundle."""

import json
import re
import shutil
from functools import partial

import cv2
import numpy as np
import pytest

from service.commands.cxr import main
from service.film.preprocessing import decode, to_model_input
from service.model import releases
from service.model.bundle import ModelBundle
from service.model.findings import FINDINGS
from service.model.manifest import GRAPH_NAME, MODEL_CARD_NAME
from service.model.model import Model
from service.model.observer import Observer
from service.model.predictor import Predictor
from tests.training.evaluation.conftest import CORE_PARTS, SMALL_FILM
from training.data.folder import scan_folder
from training.evaluation import evaluate as evaluation
from training.evaluation.evaluate import EvaluationOptions, evaluate
from training.evaluation.evidence import Evidence, NotMeasured
from training.evaluation.part import Part
from training.evaluation.parts.table import PARTS, QUICK, select_parts

ONE_PART = ("--resamples", "20", "--parts", "calibration")


def test_every_judged_film_is_listed_with_the_probabilities_that_the_service_computes(
    predictions, licensed_data, trained_bundle
):
    films = {film.relative: film for film in scan_folder(licensed_data) if film.split == "test"}
    assert [row["path"] for row in predictions] == sorted(set(films) - {SMALL_FILM})
    bundle = ModelBundle.open(trained_bundle)
    predictor, spec = Predictor.from_bundle(bundle), bundle.manifest.preprocess
    model = Model(bundle, predictor, Observer.from_bundle(bundle))
    assert len({row["flags"] for row in predictions}) > 1
    for row in predictions:
        film = films[row["path"]]
        image = to_model_input(decode(film.path.read_bytes(), spec), spec)
        expected = predictor.predict(image[None])["probabilities"][0]
        np.testing.assert_allclose([float(row[finding.value]) for finding in FINDINGS], expected, atol=1e-6)
        assert row["predicted"] == FINDINGS[int(np.argmax(expected))].value
        assert row["flags"] == " ".join(model.predict(film.path).review_reasons)
        assert (row["label"], row["source"], row["group"]) == (film.finding.value, film.source, film.group)


def test_metrics_agree_with_the_predictions_and_name_what_was_measured(predictions, metrics, trained_manifest, licensed_data):
    assert metrics["n"] == len(predictions) == 15
    right = [row["label"] == row["predicted"] for row in predictions]
    assert metrics["headline"]["accuracy"] == pytest.approx(np.mean(right), abs=1e-6)
    of_source = [hit for hit, row in zip(right, predictions, strict=True) if row["source"] == "source1"]
    assert metrics["per_source"]["source1"]["n"] == len(of_source)
    assert metrics["per_source"]["source1"]["accuracy"] == pytest.approx(np.mean(of_source), abs=1e-6)
    digest = trained_manifest.files[GRAPH_NAME]
    assert metrics["bundle"] == {"name": trained_manifest.name, "version": "1.0.0", "model_sha256": digest}
    assert metrics["command"].startswith("cxr evaluate ")
    assert licensed_data.name in metrics["command"]
    assert str(licensed_data.parent) not in metrics["command"], "metrics are published, folders of a machine are not"
    assert set(metrics["operating_points"]) == set(trained_manifest.operating_points)
    assert metrics["operating_points"]["balanced"]["accuracy"] == metrics["headline"]["accuracy"]


def test_a_film_that_the_service_refuses_is_reported_and_not_counted(metrics, evaluated):
    assert metrics["refused"] == {"ImageTooSmall": [SMALL_FILM]}
    assert SMALL_FILM in (evaluated / "report.md").read_text()
    assert "1 more were refused by the service (ImageTooSmall 1)" in (evaluated / MODEL_CARD_NAME).read_text()


def test_plots_are_drawn_linked_and_inside_the_page_which_needs_nothing_else(evaluated):
    report, page = ((evaluated / name).read_text() for name in ("report.md", "report.html"))
    names = ("confusion_matrix", "roc_curves", "source_recall", "reliability")
    for name in (f"{name}.png" for name in names):
        plot = cv2.imread(str(evaluated / "figures" / name))
        assert plot.shape[0] > 300
        assert plot.std() > 10
        assert f"](figures/{name})" in report
    inside = re.findall(r'<img src="([^"]*)"', page)
    assert len(inside) == len(names) and all(source.startswith("data:image/png;base64,") for source in inside)
    assert all(link.startswith("#") for link in re.findall(r'href="([^"]*)"', page))
    assert all(f"{part.title}</h2>" in page for part in PARTS)


def test_films_are_shown_in_the_local_file_alone(evaluated, metrics, predictions):
    wrong = [row for row in predictions if row["label"] != row["predicted"]]
    assert metrics["misclassified"]["films"] == len(wrong) > 0
    page = (evaluated / "local" / "misclassified.html").read_text()
    assert "This file shows films of patients" in page
    assert page.count("data:image/png;base64,") == 2 * len(wrong)
    most_confident_first = sorted(wrong, key=lambda row: -max(float(row[finding.value]) for finding in FINDINGS))
    assert re.findall(r"source\d: (test/[^<]*)<", page) == [row["path"] for row in most_confident_first]
    published = "".join((evaluated / name).read_text() for name in ("report.md", "report.html", MODEL_CARD_NAME))
    assert not any(row["path"] in published for row in wrong)
    assert {path.name for path in evaluated.iterdir()} == {
        "MODEL_CARD.md", "figures", "local", "metrics.json", "predictions.csv", "report.html", "report.md",
    }  # fmt: skip


def test_a_folder_of_test_films_alone_is_judged_and_what_needs_others_says_so(trained_bundle, licensed_data, tmp_path):
    own = tmp_path / "own"
    shutil.copytree(licensed_data / "test", own / "test")
    parts = "calibration,operating_points,shortcuts,comparison"
    command = ["evaluate", str(trained_bundle), "--data", str(own), "--out", str(tmp_path / "out"), "--resamples", "20"]
    assert main([*command, "--parts", parts]) == 0
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert metrics["n"] == 15
    assert metrics["not_measured"]["comparison"] == "no other bundle was named (--against)"
    assert metrics["shortcuts"]["source_within_class"] is metrics["shortcuts"]["leave_one_source_out"] is None
    assert "which a probe is fitted on" in (tmp_path / "out" / "report.md").read_text()
    assert main([*command, "--split", "val"]) == 1


def test_what_was_not_measured_is_named_with_its_reason(trained_bundle, licensed_data, tmp_path, monkeypatch, capsys):
    def refuses(_: Evidence) -> None:
        raise NotMeasured("the films have no side markers")

    def finds(evidence: Evidence) -> dict:
        return {"films": len(evidence.judged().judged)}

    def part(name, measure, **options) -> Part:
        describe = lambda values: [f"Seen: {values['films']}.", "![Seen](figures/seen.png)"]  # noqa: E731
        return Part(name, f"The {name} part", measure, describe, **options)

    parts = (
        part("refusing", refuses),
        part("finding", finds, limits=lambda values: [f"It saw {values['films']} films only."], in_card=True),
        part("internal", finds, in_card=False),
        part("unwanted", finds),
    )
    monkeypatch.setattr(evaluation, "PARTS", parts)
    monkeypatch.setattr(evaluation, "write_report", lambda markdown, out: (out / "report.md").write_text(markdown))
    evaluate(trained_bundle, licensed_data, EvaluationOptions(out=tmp_path, resamples=20, parts=parts[:3]))
    assert "[1/3] The refusing part: not measured: the films have no side markers" in capsys.readouterr().err
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["finding"] == {"films": 15}
    reasons = {
        "refusing": "the films have no side markers",
        "unwanted": "it was not asked for (--parts)",
    }
    assert metrics["not_measured"] == reasons
    report, card = (tmp_path / "report.md").read_text(), (tmp_path / MODEL_CARD_NAME).read_text()
    for name, reason in reasons.items():
        assert f"## The {name} part\n\nNot measured: {reason}." in report
        assert f"- The {name} part: {reason}." in card
    assert "## The finding part\n\nSeen: 15.\n\n##" in card, "a card has no plots beside it"
    assert "- It saw 15 films only." in card
    assert "The internal part" not in card


def test_parts_have_names_of_their_own_and_can_be_chosen_by_them(metrics, capsys):
    names = [part.name for part in PARTS]
    assert len(set(names)) == len(names)
    core = {"command", "bundle", "split", "headline", "macro", "weighted", "per_class", "per_source", "data", "not_measured"}
    assert not core & set(names)
    assert set(CORE_PARTS) == set(metrics) & set(names)
    assert [part.name for part in select_parts("operating_points, calibration")] == ["calibration", "operating_points"]
    assert [name for name in names if name not in {part.name for part in select_parts(QUICK)}] == [
        "shortcuts", "attention", "robustness",
    ]  # fmt: skip
    assert main(["evaluate", "--help"]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in (*names, QUICK))


def test_options_that_name_nothing_are_refused(trained_bundle, licensed_data, tmp_path, capsys):
    command = ["evaluate", str(trained_bundle), "--data", str(licensed_data)]
    for options, status, fault in (
        (["--parts", "calibration,horoscope"], 2, "unknown part 'horoscope'; choose quick, or of calibration, "),
        (["--lungs", str(tmp_path / "absent.onnx")], 1, "No lung segmenter at"),
        (["--not-chest", str(tmp_path / "absent")], 1, "There is no folder"),
        (["--data", str(tmp_path / "absent")], 1, "There is no data folder"),
        (["--against", str(tmp_path / "absent")], 1, "No bundle folder at"),
    ):
        assert main([*command, *options]) == status
        assert fault in capsys.readouterr().err
    assert main(["evaluate", str(tmp_path / "absent"), "--data", str(licensed_data)]) == 1
    assert "No bundle folder at" in capsys.readouterr().err


def test_results_do_not_depend_on_the_number_of_threads(evaluated, trained_bundle, licensed_data, core_options, tmp_path):
    command = ["evaluate", str(trained_bundle), "--data", str(licensed_data), "--out", str(tmp_path), *core_options]
    assert main([*command, "--threads", "1"]) == 0
    assert (tmp_path / "predictions.csv").read_bytes() == (evaluated / "predictions.csv").read_bytes()
    first, second = (json.loads((folder / "metrics.json").read_text()) for folder in (evaluated, tmp_path))
    assert {**first, "command": ""} == {**second, "command": ""}
    for plot in (evaluated / "figures").iterdir():
        assert plot.read_bytes() == (tmp_path / "figures" / plot.name).read_bytes()


def test_the_summary_is_printed(trained_bundle, licensed_data, tmp_path, capsys):
    command = ["evaluate", str(trained_bundle), "--data", str(licensed_data), "--split", "val", "--out", str(tmp_path)]
    assert main([*command, *ONE_PART]) == 0
    printed = capsys.readouterr().out
    assert "val split, 6 films" in printed
    assert "| Macro AUC" in printed
    assert "| source1" in printed
    assert "registry attach" not in printed, "a bundle takes metrics of the test split only"
    assert "too good" in (tmp_path / MODEL_CARD_NAME).read_text()


def test_without_a_bundle_the_newest_release_is_judged(trained_bundle, licensed_data, tmp_path, monkeypatch, capsys):
    for version in ("1.9.0", "1.10.0"):
        shutil.copytree(trained_bundle, tmp_path / "models" / f"chest-xray-{version}")
    monkeypatch.setattr(releases, "locate_bundle", partial(releases.locate_bundle, models_dir=tmp_path / "models"))
    assert main(["evaluate", f"--data={licensed_data}", f"--out={tmp_path / 'out'}", *ONE_PART]) == 0
    assert f"cxr registry attach {tmp_path / 'models' / 'chest-xray-1.10.0'}" in capsys.readouterr().out
    command = json.loads((tmp_path / "out" / "metrics.json").read_text())["command"]
    assert command.startswith(f"cxr evaluate chest-xray-1.10.0 --data {licensed_data.name} --out out ")
