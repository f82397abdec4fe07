"""The report of a commissioning, with made-up results."""

import csv
import json
import re

import cv2
import pytest

from service.model.bundle import ModelBundle
from service.model.findings import Finding
from service.model.model import Model
from service.model.predictor import Predictor
from service.model.site_profile import Site
from tests.support.training.acceptances import acceptance, unlabelled
from tests.support.training.site_folders import add_film, class_folders
from training.commissioning.cases import PartVerdict, ShortcutControl
from training.commissioning.films.cases import labelled_cases
from training.commissioning.films.folder import find_films
from training.commissioning.films.read import read_films
from training.commissioning.report.files import write_report
from training.commissioning.report.outcome import Outcome
from training.commissioning.unlabelled import NOTHING_VERIFIED

WARNING = "The border alone tells the classes apart."


@pytest.fixture(scope="module")
def films(bundle, tmp_path_factory):
    """Six labelled films of each class, six without a label, a copy and a damaged one."""
    folder = class_folders(tmp_path_factory.mktemp("site"), 6)
    for index in range(6):
        add_film(folder, f"new/miller_{index}.png", Finding.NORMAL, 80_000 + index)
    (folder / "new" / "z_copy.png").write_bytes((folder / "new" / "miller_0.png").read_bytes())
    (folder / "new" / "cut.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    return read_films(bundle, Predictor.from_bundle(bundle), find_films(folder), threads=2)


@pytest.fixture(scope="module")
def cases(films, bundle):
    return labelled_cases([each for each in films.used if each.film.finding], bundle.manifest)


def outcome_of(bundle: ModelBundle, films, found, others, **changes) -> Outcome:
    members = {
        "command": "cxr commission films --site mercy",
        "created_at": "2026-11-28T12:00:00+00:00",
        "site": Site("mercy", 3),
        "manifest": bundle.manifest,
        "films": films,
        "classes_left_out": {},
        "acceptance": found,
        "unlabelled": others,
        "drift_reference": PartVerdict(True, "Measured on 24 films of this site."),
    }
    return Outcome(**(members | changes))


def written(outcome, bundle, out):
    write_report(outcome, Model.from_bundle(bundle), out)
    return json.loads((out / "metrics.json").read_text()), (out / "report.md").read_text(), (out / "report.html").read_text()


@pytest.fixture(scope="module")
def report(bundle, films, cases, tmp_path_factory):
    out = tmp_path_factory.mktemp("report")
    found = acceptance(cases, warnings=(WARNING,))
    outcome = outcome_of(bundle, films, found, unlabelled(6, bundle.manifest.outliers), classes_left_out={Finding.PNEUMONIA: 4})
    return out, *written(outcome, bundle, out)


def test_the_page_holds_everything_and_needs_nothing_else(report):
    out, metrics, markdown, page = report
    for text in (
        metrics["verdict"],
        WARNING,
        "Before and after",
        "How many films",
        "Unlike the training films",
        "Lungs or scanner",
    ):
        assert text in markdown and text in page
    for text in (
        "Films without a label",
        "What the profile does not do",
        "research use only",
        "CXR_SITE=sites/mercy-3 make serve",
    ):
        assert text in markdown and text in page
    pictures = re.findall(r'<img src="([^"]*)"', page)
    assert len(pictures) == 2 and all(source.startswith("data:image/png;base64,") for source in pictures)
    assert all(cv2.imread(str(out / "figures" / name)).std() > 10 for name in ("roc.png", "calibration.png"))
    assert re.findall(r'(?:src|href)="(?!data:|#)', page) == []


def test_every_figure_stands_beside_its_interval_before_and_after(report):
    _, metrics, markdown, _ = report
    rows = [line for line in markdown.splitlines() if line.startswith("| accuracy ")]
    assert [cell.strip() for cell in rows[0].strip("|").split("|")] == [
        "accuracy", "0.500 (0.490 to 0.510)", "0.900 (0.890 to 0.910)", "0.400 (0.390 to 0.410)",
    ]  # fmt: skip
    assert metrics["acceptance"]["difference"]["interval_95"]["accuracy"] == pytest.approx([0.39, 0.41])


def test_each_part_is_named_with_its_reason_whether_written_or_not(report):
    _, metrics, markdown, _ = report
    assert [name for name, part in metrics["parts"].items() if part["written"]] == ["head", "conformal", "drift_reference"]
    assert re.search(r"\| operating points +\| no +\| Made up for operating_points\. +\|", markdown)
    assert metrics["verdict"].endswith("The profile is written, with a drift reference of the site's own films, as mercy-3.")
    assert metrics["profile"] == "mercy-3"


def test_films_are_counted_by_what_became_of_them(report):
    _, metrics, markdown, _ = report
    films = metrics["films"]
    assert "The 18 labelled films are of 18 patients. The patient of 18 of them is unknown" in markdown
    assert films["by_finding"] == {"Normal": 6, "Pneumonia": 6, "Tuberculosis": 6, "unlabelled": 6}
    assert (films["used"], films["patients"], films["with_known_patient"]) == (24, 18, 0)
    assert films["left_out"] == {"Duplicate": 1, "UnreadableImage": 1}
    assert films["classes_left_out"] == {"Pneumonia": 4}
    assert set(films["flagged"]) == {"out_of_distribution", "not_frontal_chest", "image_quality"}


def test_errors_are_counted_before_and_after(report, cases):
    _, metrics, _, _ = report
    errors = metrics["acceptance"]["errors"]
    assert sum(each["before"] for each in errors) == len(cases) / 2
    assert sum(each["after"] for each in errors) == 2
    assert all(each["truth"] != each["called"] for each in errors)


def test_no_film_is_named_or_shown_outside_the_local_folder(report, films):
    out, *_ = report
    names = {each.film.path.name.encode() for each in (*films.used, *films.left_out)}
    published = [path for path in out.rglob("*") if path.is_file() and "local" not in path.parts]
    assert {path.name for path in published} == {"metrics.json", "report.md", "report.html", "roc.png", "calibration.png"}
    for path in published:
        content = path.read_bytes()
        assert not any(name in content for name in (b"miller", *names))
    assert (out / "local" / "left_out.csv").read_text().splitlines()[0] == "path,reason,detail"
    with (out / "local" / "left_out.csv").open() as stream:
        assert [row["path"] for row in csv.DictReader(stream)] == ["new/cut.png", "new/z_copy.png"]


def test_the_worst_films_are_shown_most_confident_first_with_what_they_were_called_for(report):
    out, *_ = report
    page = (out / "local" / "worst.html").read_text()
    assert "This file shows films of patients" in page
    assert page.count("data:image/png;base64,") == 2 * 2
    called = re.findall(r"<b>(\w+)</b> called <b>(\w+)</b>, (0\.\d+)", page)
    assert [float(confidence) for *_, confidence in called] == sorted((float(each[2]) for each in called), reverse=True)
    assert all(truth != wrong for truth, wrong, _ in called)


def test_without_labels_the_report_says_that_nothing_was_verified(bundle, films, tmp_path):
    only = type(films)(tuple(each for each in films.used if not each.film.finding), films.left_out)
    found = unlabelled(6, bundle.manifest.outliers, (NOTHING_VERIFIED,))
    metrics, markdown, page = written(outcome_of(bundle, only, None, found), bundle, tmp_path)
    assert metrics["verified"] is False and metrics["acceptance"] is None
    assert f"> **Warning.** {NOTHING_VERIFIED}" in markdown and "<blockquote>" in page
    assert "Before and after" not in markdown
    assert not (tmp_path / "figures").exists() and not (tmp_path / "local" / "worst.html").exists()
    assert [name for name, part in metrics["parts"].items() if part["written"]] == ["outliers", "drift_reference"]
    assert metrics["unlabelled"]["shares"]["Normal"] == {
        "share": 0.7,
        "interval_95": {"share": pytest.approx([0.65, 0.75])},
    }


def test_without_any_part_there_is_no_profile_and_the_report_says_so(bundle, films, cases, tmp_path):
    found = acceptance(cases, head=False, tells_classes_apart=False, verdict="Check the labels.")
    outcome = outcome_of(bundle, films, found, None, drift_reference=PartVerdict(False, "The labels are in doubt."))
    metrics, markdown, _ = written(outcome, bundle, tmp_path)
    assert metrics["profile"] is None
    assert metrics["verdict"] == "Check the labels."
    assert "CXR_SITE" not in markdown and "The labels are in doubt." in markdown


def test_the_warning_of_the_control_stands_beside_its_figures(bundle, films, cases, tmp_path):
    found = acceptance(cases, shortcuts=ShortcutControl(0.93, 0.7, 0.95, WARNING), warnings=(WARNING,))
    _, markdown, _ = written(outcome_of(bundle, films, found, None), bundle, tmp_path)
    assert f"> **Warning.** {WARNING}" in markdown
    assert markdown.count(WARNING) == 2
    assert "has an AUC of 0.930" in markdown


def test_two_classes_have_one_curve_and_no_rows_of_the_third(bundle, films, tmp_path):
    kept = tuple(each for each in films.used if each.film.finding in (Finding.NORMAL, Finding.TUBERCULOSIS))
    found = acceptance(labelled_cases(kept, bundle.manifest))
    metrics, markdown, _ = written(outcome_of(bundle, type(films)(kept, ()), found, None), bundle, tmp_path)
    assert "Pneumonia: sensitivity" not in markdown
    roc = cv2.imread(str(tmp_path / "figures" / "roc.png"))
    assert roc.shape[1] < 1.2 * roc.shape[0]
    assert metrics["films"]["left_out"] == {}
    assert "left_out.csv" not in markdown
