"""python -m training.evaluation.evaluate and `cxr registry attach`, on phantoms and a real bundle."""

import copy
import csv
import json
import re
import shutil
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest

from export.attach import ATTACHED
from export.phantom import phantom_film
from service.commands.cxr import main as attach_main
from service.film.preprocessing import decode, to_model_input
from service.model.bundle import ModelBundle
from service.model.decision import ReviewReason
from service.model.findings import FINDINGS, Finding
from service.model.manifest import GRAPH_NAME, MANIFEST_NAME, MODEL_CARD_NAME
from service.model.model import Model
from service.model.observer import Observer
from service.model.predictor import Predictor
from service.model.releases import locate_bundle
from training.data.folder import folder_fingerprint, scan_folder
from training.errors import ConfigError, DatasetNotFound, EmptyClass
from training.evaluation import evaluate as evaluation
from training.evaluation.evaluate import main
from training.evaluation.judging.films import judge
from training.evaluation.measures.calibration import one_vs_rest_ece
from training.evaluation.part import Evidence, NotMeasured, Part, draw_nothing
from training.evaluation.parts import operating_points as decisions
from training.evaluation.parts import temperature
from training.evaluation.parts.operating_points import decide_films
from training.evaluation.parts.registry import PARTS
from training.evaluation.report.card import render_model_card
from training.evaluation.report.provenance import summarise_data
from training.evaluation.report.tables import unflagged_table

LICENCES = {"source0": ("CC BY 4.0", "no"), "source1": ("non-commercial research", "yes")}
SMALL_FILM = "test/Normal/small.png"

# Parts that other tests cover are left out here, so that these stay quick.
CORE_PARTS = ("calibration", "operating_points", "prevalence", "screening", "prediction_sets", "set_forms", "misclassified")
ONE_PART = ("--resamples", "20", "--parts", "calibration")
QUICK = ("--resamples", "100", "--parts", ",".join(CORE_PARTS))


@pytest.fixture(scope="module")
def data(phantom_dataset) -> Path:
    """Phantoms with two sources, licences, and one test film that the service refuses."""
    root = phantom_dataset(films_per_class={"train": 2, "val": 2, "test": 5}, manifest=True)
    (root / SMALL_FILM).write_bytes(cv2.imencode(".png", phantom_film(Finding.NORMAL, 1, 64))[1].tobytes())
    with (root / "manifest.csv").open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    rows.append({"path": SMALL_FILM, "split": "test", "label": "Normal", "source": "source0", "patient_or_group_id": "small"})
    with (root / "manifest.csv").open("w", encoding="utf-8", newline="") as lines:
        writer = csv.DictWriter(lines, [*rows[0], "licence", "noncommercial"])
        writer.writeheader()
        for row in rows:
            licence, noncommercial = LICENCES[row["source"]]
            writer.writerow({**row, "licence": licence, "noncommercial": noncommercial})
    return root


@pytest.fixture(scope="module")
def bundle_path(bundle_path: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shared bundle, as if it had been trained on `data`."""
    own = tmp_path_factory.mktemp("own") / bundle_path.name
    shutil.copytree(bundle_path, own)
    manifest = json.loads((own / MANIFEST_NAME).read_text())
    manifest["data_fingerprint"] = folder_fingerprint(scan_folder(data), threads=1)
    (own / MANIFEST_NAME).write_text(json.dumps(manifest))
    return own


@pytest.fixture(scope="module")
def evaluated(bundle_path: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("reports") / "run"
    assert main([str(bundle_path), "--data", str(data), "--out", str(out), *QUICK, "--threads", "2"]) == 0
    return out


@pytest.fixture
def metrics(evaluated: Path) -> dict:
    return json.loads((evaluated / "metrics.json").read_text())


def predictions(folder: Path) -> list[dict[str, str]]:
    with (folder / "predictions.csv").open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def test_every_judged_film_is_listed_with_the_probabilities_that_the_service_computes(evaluated, data, bundle_path):
    rows = predictions(evaluated)
    films = {film.relative: film for film in scan_folder(data) if film.split == "test"}
    assert [row["path"] for row in rows] == sorted(set(films) - {SMALL_FILM})
    bundle = ModelBundle.open(bundle_path)
    predictor, spec = Predictor.from_bundle(bundle), bundle.manifest.preprocess
    model = Model(bundle, predictor, Observer.from_bundle(bundle))
    assert len({row["flags"] for row in rows}) > 1
    for row in rows:
        film = films[row["path"]]
        image = to_model_input(decode(film.path.read_bytes(), spec), spec)
        expected = predictor.predict(image[None])["probabilities"][0]
        found = [float(row[finding.value]) for finding in FINDINGS]
        np.testing.assert_allclose(found, expected, atol=1e-6)
        assert row["predicted"] == FINDINGS[int(np.argmax(expected))].value
        answered = model.predict(film.path)
        assert row["flags"] == " ".join(answered.review_reasons)
        assert (row["label"], row["source"], row["group"]) == (film.finding.value, film.source, film.group)


def test_reasons_that_lie_in_the_film_itself_are_those_of_the_service(bundle_path, phantom_dataset):
    root = phantom_dataset(films_per_class={"train": 1, "val": 1, "test": 1})
    inverted = next((root / "test" / "Normal").iterdir())
    inverted.write_bytes(cv2.imencode(".png", 255 - phantom_film(Finding.NORMAL, 5, 128))[1].tobytes())
    bundle = ModelBundle.open(bundle_path)
    predictor, observer = Predictor.from_bundle(bundle), Observer.from_bundle(bundle)
    split = judge(predictor, [film for film in scan_folder(root) if film.split == "test"], threads=1, observer=observer)
    model = Model(bundle, predictor, observer)
    answers = [model.predict(each.film.path) for each in split.judged]
    decisions = decide_films(split, bundle.manifest)
    assert all(vars(own).items() <= vars(answer).items() for own, answer in zip(decisions, answers, strict=True))
    assert ReviewReason.NOT_FRONTAL_CHEST in answers[0].review_reasons


def test_metrics_agree_with_the_predictions_and_name_what_was_measured(evaluated, metrics, bundle_path, data):
    rows = predictions(evaluated)
    assert metrics["n"] == len(rows) == 15
    right = [row["label"] == row["predicted"] for row in rows]
    assert metrics["headline"]["accuracy"] == pytest.approx(np.mean(right), abs=1e-6)
    of_source = [hit for hit, row in zip(right, rows, strict=True) if row["source"] == "source1"]
    assert metrics["per_source"]["source1"]["n"] == len(of_source)
    assert metrics["per_source"]["source1"]["accuracy"] == pytest.approx(np.mean(of_source), abs=1e-6)
    manifest = ModelBundle.open(bundle_path).manifest
    assert metrics["bundle"] == {"name": manifest.name, "version": "1.0.0", "model_sha256": manifest.files[GRAPH_NAME]}
    assert metrics["command"].startswith("python -m training.evaluation.evaluate ")
    assert data.name in metrics["command"]
    assert str(data.parent) not in metrics["command"], "figures are published, folders of a machine are not"
    assert set(metrics["operating_points"]) == set(manifest.operating_points)
    assert metrics["operating_points"]["balanced"]["accuracy"] == metrics["headline"]["accuracy"]


def test_a_film_that_the_service_refuses_is_reported_and_not_counted(metrics, evaluated):
    assert metrics["refused"] == {"ImageTooSmall": [SMALL_FILM]}
    assert SMALL_FILM in (evaluated / "report.md").read_text()
    assert "1 more were refused by the service (ImageTooSmall 1)" in (evaluated / MODEL_CARD_NAME).read_text()


def test_pictures_are_drawn_and_linked(evaluated):
    report = (evaluated / "report.md").read_text()
    names = ("confusion_matrix", "roc_curves", "precision_recall", "source_recall", "reliability", "prevalence", "set_sizes")
    for name in (f"{name}.png" for name in names):
        picture = cv2.imread(str(evaluated / "figures" / name))
        assert picture.shape[0] > 300
        assert picture.std() > 10
        assert f"](figures/{name})" in report


def test_the_page_holds_its_pictures_and_needs_nothing_beside_it(evaluated):
    page = (evaluated / "report.html").read_text()
    pictures = re.findall(r'<img src="([^"]*)"', page)
    assert len(pictures) == 7
    assert all(picture.startswith("data:image/png;base64,") for picture in pictures)
    assert all(link.startswith("#") for link in re.findall(r'href="([^"]*)"', page))
    for part in PARTS:
        assert f"{part.title}</h2>" in page


def test_films_are_shown_in_the_local_file_alone(evaluated, metrics):
    wrong = [row for row in predictions(evaluated) if row["label"] != row["predicted"]]
    assert metrics["misclassified"]["films"] == len(wrong) > 0
    page = (evaluated / "local" / "misclassified.html").read_text()
    assert "This file shows films of patients" in page
    assert page.count("data:image/png;base64,") == 2 * len(wrong)
    most_confident_first = sorted(wrong, key=lambda row: -max(float(row[finding.value]) for finding in FINDINGS))
    shown = re.findall(r"source\d: (test/[^<]*)<", page)
    assert shown == [row["path"] for row in most_confident_first]
    published = "".join((evaluated / name).read_text() for name in ("report.md", "report.html", MODEL_CARD_NAME))
    assert not any(row["path"] in published for row in wrong)
    assert {path.name for path in evaluated.iterdir()} == {
        "MODEL_CARD.md", "figures", "local", "metrics.json", "predictions.csv", "report.html", "report.md",
    }  # fmt: skip


def test_calibration_is_measured_before_and_after_the_temperature(metrics, evaluated, bundle_path, data):
    bundle = ModelBundle.open(bundle_path)
    calibration = metrics["calibration"]
    assert calibration["temperature"] == bundle.manifest.temperature != 1
    judged = judge(Predictor.from_bundle(bundle), [film for film in scan_folder(data) if film.split == "test"], threads=1)
    after, before = judged.judgements(), judged.uncalibrated()
    logits = np.stack([each.logits for each in judged.judged])
    np.testing.assert_allclose(before.probabilities, np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True))
    for stage, judgements in (("before", before), ("after", after)):
        of_truth = judgements.probabilities[np.arange(len(judgements.labels)), judgements.labels]
        assert calibration[stage]["log_loss"] == pytest.approx(-np.log(of_truth).mean(), abs=1e-6)
    assert f"{calibration['before']['log_loss']:.3f} |" in (evaluated / MODEL_CARD_NAME).read_text()


def test_what_perfect_calibration_would_score_stands_beside_the_measured_error(metrics, evaluated):
    floor = metrics["calibration"]["if_calibrated"]
    assert 0 < floor["macro_ece_equal_width"] < floor["quantile_95"] < 1
    assert (
        f"give a macro ECE (equal width) of {floor['macro_ece_equal_width']:.3f} on average"
        in (evaluated / MODEL_CARD_NAME).read_text()
    )


def test_calibrated_labels_score_what_the_simulation_says():
    rng = np.random.default_rng(5)
    probabilities = rng.dirichlet([0.3, 0.3, 0.3], size=400)
    drawn = np.array([rng.choice(3, p=row) for row in probabilities])
    floor = temperature._if_calibrated(probabilities, seed=0)
    assert one_vs_rest_ece(drawn, probabilities).mean() == pytest.approx(floor["macro_ece_equal_width"], abs=0.02)
    many = temperature._if_calibrated(np.repeat(probabilities, 16, axis=0), seed=0)
    ratio = floor["macro_ece_equal_width"] / many["macro_ece_equal_width"]
    assert ratio == pytest.approx(4, rel=0.15), "noise falls with the root of the number of films"


def test_decisions_are_counted_as_the_service_takes_them(metrics, evaluated, bundle_path):
    rows, manifest = predictions(evaluated), ModelBundle.open(bundle_path).manifest
    point = metrics["operating_points"]["balanced"]
    flagged = [row for row in rows if row["flags"]]
    assert point["review"]["films"] == len(flagged)
    assert sum(point["review"]["reasons"].values()) == sum(len(row["flags"].split()) for row in rows)
    tuberculosis = metrics["prevalence"]["balanced"]["Tuberculosis"]
    assert (
        tuberculosis["sensitivity"]
        == point["per_class"]["Tuberculosis"]["recall"]
        == metrics["headline"]["tuberculosis_recall"]
    )
    assert set(tuberculosis["at"]) == {"0.005", "0.01", "0.05", "0.1", "0.2"}
    assert "Pneumonia" not in metrics["operating_points"]["tb_screening"]["per_class"]
    wrong = [row for row in rows if row["predicted"] != row["label"]]
    unflagged = sum(not row["flags"] for row in wrong)
    assert point["review"]["errors"] == {"films": len(wrong), "unflagged": unflagged}
    missed = [row for row in wrong if (row["label"], row["predicted"]) == ("Pneumonia", "Normal")]
    assert point["review"]["called_normal"]["Pneumonia"]["films"] == len(missed)
    assert metrics["operating_points"]["tb_screening"]["review"]["errors"] is None, "pneumonia cannot be called there"
    sets = metrics["prediction_sets"]
    assert sum(sets["sizes"].values()) == len(rows)
    quantiles = manifest.conformal.quantiles
    kept = [sum(1 - float(row[finding.value]) <= quantiles[finding] + 1e-6 for finding in FINDINGS) for row in rows]
    assert sets["mean_size"] == pytest.approx(np.mean(kept))


def test_errors_that_review_does_not_catch_are_counted_and_stand_among_the_limits():
    review = {
        "films": 3, "share": 0.3, "reasons": {}, "accuracy_without": 0.5, "errors": {"films": 4, "unflagged": 1},
        "called_normal": {"Pneumonia": {"films": 2, "unflagged": 1}, "Tuberculosis": {"films": 1, "unflagged": 0}},
    }  # fmt: skip
    (limit,) = decisions.PART.limits({"balanced": {"review": review}})
    assert "1 of the 4 errors at `balanced` have no flag" in limit
    assert "1 of 2 with Pneumonia and 0 of 1 with Tuberculosis" in limit
    assert "| 1 of 4 " in unflagged_table({"balanced": {"review": review}})
    caught = {**review, "errors": {"films": 4, "unflagged": 0}}
    assert decisions.PART.limits({"balanced": {"review": caught}}) == []


def test_a_folder_of_test_films_alone_is_judged_and_what_needs_others_says_so(bundle_path, data, tmp_path):
    own = tmp_path / "own"
    shutil.copytree(data / "test", own / "test")
    parts = "calibration,operating_points,screening,set_forms,shortcuts"
    options = ["--out", str(tmp_path / "out"), "--resamples", "20", "--parts", parts]
    assert main([str(bundle_path), "--data", str(own), *options]) == 0
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert metrics["n"] == 15
    lacking = {name: reason for name, reason in metrics["not_measured"].items() if name in parts}
    assert lacking == dict.fromkeys(("screening", "set_forms"), "the data have no films of the val split")
    assert metrics["shortcuts"]["border"] is metrics["shortcuts"]["leave_one_source_out"] is None
    assert "which a probe is fitted on" in (tmp_path / "out" / "report.md").read_text()
    assert main([str(bundle_path), "--data", str(own), "--split", "val", *options]) == 1


def test_a_threshold_of_the_validation_split_is_judged_on_the_other(metrics, bundle_path, data):
    predictor = Predictor.from_bundle(ModelBundle.open(bundle_path))
    of_split = {
        split: judge(predictor, [film for film in scan_folder(data) if film.split == split], threads=1).judgements()
        for split in ("val", "test")
    }
    scores = {split: judged.probabilities[:, 2] for split, judged in of_split.items()}
    threshold = scores["val"][of_split["val"].labels == 2].min()  # 95 % of two films are both
    assert metrics["screening"]["thresholds"]["0.95"] == pytest.approx(threshold, abs=1e-6)
    landed = metrics["screening"]["landed"]["0.95"]
    assert landed["sensitivity"] == pytest.approx((scores["test"][of_split["test"].labels == 2] >= threshold).mean(), abs=1e-6)
    assert landed["specificity"] == pytest.approx((scores["test"][of_split["test"].labels != 2] < threshold).mean(), abs=1e-6)
    assert metrics["screening"]["on_val"]["0.95"]["sensitivity"] == 1.0


def test_what_was_not_measured_is_named_with_its_reason(bundle_path, data, tmp_path, monkeypatch, capsys):
    def lacks(_: Evidence) -> None:
        return None

    def refuses(_: Evidence) -> None:
        raise NotMeasured("the films have no side markers")

    def finds(evidence: Evidence) -> dict:
        return {"films": len(evidence.judged().judged)}

    def part(name, measure, **options) -> Part:
        describe = lambda values: f"Seen: {values['films']}.\n\n![Seen](figures/seen.png)"  # noqa: E731
        return Part(name, f"The {name} part", measure, describe, draw_nothing, **options)

    parts = (
        part("lacking", lacks),
        part("refusing", refuses),
        part("finding", finds, limits=lambda values: [f"It saw {values['films']} films only."], in_card=True),
        part("internal", finds, in_card=False),
        part("unwanted", finds),
    )
    monkeypatch.setattr(evaluation, "PARTS", parts)
    monkeypatch.setattr(evaluation, "LUNGS", tmp_path / "absent.onnx")
    monkeypatch.setattr(evaluation, "write_report", lambda markdown, out: (out / "report.md").write_text(markdown))
    wanted = "lacking,refusing,finding,internal"
    assert main([str(bundle_path), "--data", str(data), "--out", str(tmp_path), "--resamples", "20", "--parts", wanted]) == 0
    assert "[2/4] The refusing part: not measured: the films have no side markers" in capsys.readouterr().err
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["finding"] == {"films": 15}
    reasons = {
        "lacking": "there is no lung segmenter and no folder of pictures that are no chest radiographs",
        "refusing": "the films have no side markers",
        "unwanted": "it was not asked for (--parts)",
    }
    assert metrics["not_measured"] == reasons
    report, card = (tmp_path / "report.md").read_text(), (tmp_path / MODEL_CARD_NAME).read_text()
    for name, reason in reasons.items():
        assert f"## The {name} part\n\nNot measured: {reason}." in report
        assert f"- The {name} part: {reason}." in card
    assert "## The finding part\n\nSeen: 15.\n\n##" in card, "a card has no pictures beside it"
    assert "- It saw 15 films only." in card
    assert "The internal part" not in card


def test_parts_have_names_of_their_own(metrics):
    names = [part.name for part in PARTS]
    assert len(set(names)) == len(names)
    core = {"command", "bundle", "split", "headline", "macro", "weighted", "per_class", "per_source", "data", "not_measured"}
    assert not core & set(names)
    assert set(CORE_PARTS) == set(metrics) & set(names)


def test_parts_may_have_blanks_between_them(bundle_path, data, tmp_path):
    options = ["--out", str(tmp_path), "--resamples", "100", "--threads", "1", "--parts", "calibration, operating_points"]
    assert main([str(bundle_path), "--data", str(data), *options]) == 0
    assert {"calibration", "operating_points"} <= set(json.loads((tmp_path / "metrics.json").read_text("utf-8")))


def test_options_that_name_nothing_are_refused(bundle_path, data, tmp_path, capsys):
    with pytest.raises(SystemExit):
        main([str(bundle_path), "--data", str(data), "--parts", "calibration,horoscope"])
    assert "unknown part 'horoscope'; choose quick, or of calibration, " in capsys.readouterr().err
    assert main([str(bundle_path), "--data", str(data), "--lungs", str(tmp_path / "absent.onnx")]) == 1
    assert "BundleNotFound: No lung segmenter at" in capsys.readouterr().err
    assert main([str(bundle_path), "--data", str(data), "--not-chest", str(tmp_path / "absent")]) == 1
    assert "DatasetNotFound: There is no folder" in capsys.readouterr().err


def test_results_do_not_depend_on_the_number_of_threads(evaluated, bundle_path, data, tmp_path):
    assert main([str(bundle_path), "--data", str(data), "--out", str(tmp_path), *QUICK, "--threads", "1"]) == 0
    assert (tmp_path / "predictions.csv").read_bytes() == (evaluated / "predictions.csv").read_bytes()
    first, second = (json.loads((folder / "metrics.json").read_text()) for folder in (evaluated, tmp_path))
    assert {**first, "command": ""} == {**second, "command": ""}
    for picture in (evaluated / "figures").iterdir():
        assert picture.read_bytes() == (tmp_path / "figures" / picture.name).read_bytes()


def test_the_summary_is_printed(bundle_path, data, tmp_path, capsys):
    assert main([str(bundle_path), "--data", str(data), "--split", "val", "--out", str(tmp_path), *QUICK]) == 0
    printed = capsys.readouterr().out
    assert "val split, 6 films" in printed
    assert "| Macro AUC" in printed
    assert "| source1" in printed
    assert "registry attach" not in printed, "a bundle takes figures of the test split only"
    assert "too good" in (tmp_path / MODEL_CARD_NAME).read_text()


def test_without_a_bundle_the_newest_release_is_judged_as_it_would_be_served(bundle_path, data, tmp_path, monkeypatch, capsys):
    for version in ("1.9.0", "1.10.0"):
        shutil.copytree(bundle_path, tmp_path / "models" / f"chest-xray-{version}")
    monkeypatch.setattr(evaluation, "locate_bundle", partial(locate_bundle, models_dir=tmp_path / "models"))
    assert main(["--data", str(data), "--out", str(tmp_path / "out"), *ONE_PART]) == 0
    assert f"cxr registry attach {tmp_path / 'models' / 'chest-xray-1.10.0'}" in capsys.readouterr().out
    command = json.loads((tmp_path / "out" / "metrics.json").read_text())["command"]
    assert command.startswith("python -m training.evaluation.evaluate chest-xray-1.10.0 --data ")
    assert main([f"--data={data}", f"--out={tmp_path / 'again'}", *ONE_PART]) == 0
    command = json.loads((tmp_path / "again" / "metrics.json").read_text())["command"]
    assert f" --data={data.name} --out=again " in command


def test_the_fingerprint_names_the_content_of_the_split(bundle_path, phantom_dataset):
    root = phantom_dataset(films_per_class={"train": 1, "val": 1, "test": 1})
    predictor = Predictor.from_bundle(ModelBundle.open(bundle_path))

    def fingerprint() -> str:
        return judge(predictor, [film for film in scan_folder(root) if film.split == "test"], threads=1).fingerprint

    before = fingerprint()
    assert fingerprint() == before
    film = next((root / "test" / "Normal").iterdir())
    film.write_bytes(cv2.imencode(".png", phantom_film(Finding.NORMAL, 99, 128))[1].tobytes())
    assert fingerprint() != before


def test_what_cannot_be_judged_is_refused_with_a_remedy(bundle_path, data, tmp_path, capsys):
    assert main([str(tmp_path / "absent"), "--data", str(data)]) == 1
    assert "BundleNotFound: No bundle folder at" in capsys.readouterr().err
    assert main([str(bundle_path), "--data", str(tmp_path / "absent")]) == 1
    assert "DatasetNotFound" in capsys.readouterr().err
    predictor = Predictor.from_bundle(ModelBundle.open(bundle_path))
    films = scan_folder(data)
    with pytest.raises(DatasetNotFound, match="holds no films"):
        judge(predictor, [], threads=1)
    with pytest.raises(EmptyClass, match=r"were refused, test/Normal/small\.png as ImageTooSmall"):
        judge(predictor, [film for film in films if film.relative == SMALL_FILM], threads=1)
    with pytest.raises(ConfigError, match="threads is 0"):
        judge(predictor, films, threads=0)


def test_data_are_summarised_by_source_class_split_and_licence(data):
    summary = summarise_data(data, scan_folder(data))
    assert set(summary) == {"source0", "source1"}
    assert summary["source1"]["noncommercial"] == {"yes": 3 * (1 + 1 + 2)}
    assert summary["source0"]["licence"] == {"CC BY 4.0": 3 * (1 + 1 + 3) + 1}
    assert summary["source0"]["dataset"] == {"not stated": 16}
    assert summary["source0"]["counts"]["Normal"] == {"train": 1, "val": 1, "test": 4}


def test_a_folder_without_manifest_is_of_unknown_source_and_licence(phantom_dataset):
    root = phantom_dataset(films_per_class={"train": 1, "val": 1})
    summary = summarise_data(root, scan_folder(root))
    assert list(summary) == ["unknown"]
    assert summary["unknown"]["licence"] == {"not stated": 6}


def test_the_card_forbids_clinical_use_and_names_the_films_that_bind_the_licence(evaluated, metrics):
    card = (evaluated / MODEL_CARD_NAME).read_text()
    assert card.startswith("# Model card: chest-xray 1.0.0\n")
    assert "For research only. Not a medical device" in card
    assert "research use only, because part of the training data is non-commercial (source1)" in card
    assert metrics["command"] in card
    assert metrics["bundle"]["model_sha256"] in card
    low, high = metrics["headline"]["interval_95"]["accuracy"]
    assert f"{metrics['headline']['accuracy']:.3f} ({low:.3f} to {high:.3f})" in card


def test_the_card_states_only_the_limits_and_licences_of_the_data_at_hand(metrics, bundle_path):
    manifest = ModelBundle.open(bundle_path).manifest
    card = render_model_card(manifest, metrics, PARTS)
    assert "shenzhen" not in card
    assert "not independent" not in card
    changed = copy.deepcopy(metrics)
    counts = {"Tuberculosis": {"train": 5, "val": 1, "test": 1}}
    collection = {"dataset": {"TBX11K": 7}, "licence": {"NC": 7}, "noncommercial": {"no": 7}, "counts": counts}
    changed["data"] = {"tbx11k": collection, "free": {**collection, "dataset": {"not stated": 7}}}
    card = render_model_card(manifest, changed, PARTS)
    assert "tbx11k (Tuberculosis) and free (Tuberculosis) hold one class only" in card
    assert "Patients are unknown, and films of one patient may stand in two splits" in card
    assert "No film of the training data is marked non-commercial" in card
    assert "for research use only, because" not in card
    changed["data"]["free"]["noncommercial"] = {"unclear": 4, "no": 3}
    assert "part of the training data is of unclear status (free)" in render_model_card(manifest, changed, PARTS)


def test_the_card_of_a_bundle_that_went_on_from_another_names_it_and_hands_its_terms_on(metrics, bundle_path):
    manifest = ModelBundle.open(bundle_path).manifest
    began = {"model": {"weights": "bundle", "weights_file": "models/chest-xray-0.9.0"}}
    card = render_model_card(manifest.model_copy(update={"training_config": began}), metrics, PARTS)
    assert "Training went on from chest-xray-0.9.0, backbone and head" in card
    assert "The terms of chest-xray-0.9.0, from which training went on, hold for these weights too." in card


def test_the_card_says_which_source_the_model_has_never_seen(metrics, bundle_path):
    manifest = ModelBundle.open(bundle_path).manifest
    held_out = manifest.model_copy(update={"training_config": {"data": {"held_out_source": "clinic A"}}})
    assert "Films of clinic A took part in none of this" in render_model_card(held_out, metrics, PARTS)
    assert "took part in none of this" not in render_model_card(manifest, metrics, PARTS)


def test_the_card_of_another_hospitals_films_claims_nothing_of_what_the_model_learnt_from(metrics, bundle_path):
    manifest = ModelBundle.open(bundle_path).manifest
    card = render_model_card(manifest, {**metrics, "trained_on_this_folder": False}, PARTS)
    assert "not those of the folder that the model was trained on" in card
    for claim in ("Licence of the weights", "fitted to the train split", "the test split has the same sources"):
        assert claim not in card


def test_a_licence_binds_through_training_films_only_and_an_unknown_flag_is_unclear(data, metrics, bundle_path):
    manifest = ModelBundle.open(bundle_path).manifest
    changed = copy.deepcopy(metrics)
    for counts in changed["data"]["source1"]["counts"].values():
        counts["train"] = 0
    assert "is marked non-commercial" in render_model_card(manifest, changed, PARTS)
    films = scan_folder(data)
    rows = (data / "manifest.csv").read_text()
    assert ",yes\n" in rows.replace("\r", "")
    for written, meant in (("YES ", "yes"), ("perhaps", "unclear")):
        copied = [film for film in films if film.source == "source1"]
        (data.parent / "flags").mkdir(exist_ok=True)
        (data.parent / "flags" / "manifest.csv").write_text(rows.replace("\r", "").replace(",yes\n", f",{written}\n"))
        assert set(summarise_data(data.parent / "flags", copied)["source1"]["noncommercial"]) == {meant}


def test_the_card_says_whether_other_pictures_are_flagged(metrics, bundle_path):
    manifest = ModelBundle.open(bundle_path).manifest
    assert "flagged for review" not in render_model_card(manifest, metrics, PARTS).partition("## Data")[0]
    measured = {**metrics, "outliers": {"not_chest": {"n": 40, "flagged": {"anything": 0.1}}}}
    parts = [part for part in PARTS if part.name != "outliers"]
    assert "Of 40 such pictures 10% were flagged for review." in render_model_card(manifest, measured, parts)


def test_attaching_puts_figures_and_card_into_the_bundle_and_leaves_the_graph(evaluated, metrics, bundle_path, tmp_path):
    bundle_copy = shutil.copytree(bundle_path, tmp_path / "bundle")
    before = ModelBundle.open(bundle_copy).manifest
    files = ["--metrics", str(evaluated / "metrics.json"), "--card", str(evaluated / MODEL_CARD_NAME)]
    assert attach_main(["registry", "attach", str(bundle_copy), *files, "--no-register"]) == 0
    after = ModelBundle.open(bundle_copy)
    assert after.manifest.test_metrics == {name: metrics[name] for name in ATTACHED}
    assert after.file(MODEL_CARD_NAME).read_text() == (evaluated / MODEL_CARD_NAME).read_text()
    changed = {"test_metrics", "files"}
    assert after.manifest.model_dump(exclude=changed) == before.model_dump(exclude=changed)
    assert {name for name in before.files if before.files[name] != after.manifest.files[name]} == {MODEL_CARD_NAME}


def test_figures_of_another_graph_or_split_are_not_attached(evaluated, metrics, bundle_path, tmp_path, capsys):
    bundle_copy = shutil.copytree(bundle_path, tmp_path / "bundle")
    foreign = {**metrics, "bundle": {**metrics["bundle"], "model_sha256": "0" * 64}}
    card = str(evaluated / MODEL_CARD_NAME)
    for content, fault in (
        (json.dumps(foreign), "measured on a graph with SHA-256 000000000000"),
        (json.dumps({**metrics, "trained_on_this_folder": False}), "on another data folder than"),
        (json.dumps({**metrics, "split": "val"}), "measured on the val split, a bundle takes metrics of the test split"),
        ("{}", "lacks command, split"),
        ("[]", "lacks command, split"),
        ("not json", "is not JSON"),
    ):
        (tmp_path / "metrics.json").write_text(content)
        files = ["--metrics", str(tmp_path / "metrics.json"), "--card", card]
        assert attach_main(["registry", "attach", str(bundle_copy), *files]) == 1
        assert fault in capsys.readouterr().err
    assert ModelBundle.open(bundle_copy).manifest.test_metrics == {}
