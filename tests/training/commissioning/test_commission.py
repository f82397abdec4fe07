"""`cxr commission` on folders of phantoms and the released bundle, whose embedding tells phantoms apart."""

import hashlib
import io
from contextlib import redirect_stderr, redirect_stdout

import numpy as np
import pytest

from export.phantom import phantom_film
from service.model.findings import FINDINGS, Finding
from service.model.model import load_model
from service.records.store import RecordStore
from service.records.values import Feedback
from tests.support.encoded_films import dicom_file
from tests.support.server.recorded import MOMENT, entry, of_request, prediction, report
from tests.support.training.site_folders import TWO, CommissionedSite, add_film, class_folders, write_table
from training.commissioning import commission as module


@pytest.fixture(scope="module")
def labelled(tmp_path_factory, released):
    """Commissioned with 22 films of each class in folders."""
    site = CommissionedSite(tmp_path_factory.mktemp("labelled"), released)
    class_folders(site.films, 22)
    assert site.commission() == 0
    return site


def test_class_folders_give_report_and_profile(labelled):
    metrics = labelled.metrics()
    assert labelled.written() == ["commission-mercy-1", "mercy-1"]
    assert metrics["films"]["by_finding"] == dict.fromkeys(FINDINGS, 22)
    assert metrics["films"]["patients"] == 66 and metrics["films"]["with_known_patient"] == 0
    assert metrics["unlabelled"] is None
    profile = labelled.profile()
    profile.require_bundle(labelled.bundle)
    written = {name for name, part in metrics["parts"].items() if part["written"]}
    assert profile.manifest.head == ("head" in written)
    decisions = {name for name in ("operating_points", "conformal", "review", "outliers") if getattr(profile.manifest, name)}
    assert decisions == written - {"head", "drift_reference"}
    assert "drift_reference.json" in profile.manifest.files


def test_the_same_command_again_gives_the_next_number_and_the_same_answers(labelled, capsys):
    before = {path: path.read_bytes() for path in labelled.profile().path.iterdir()}
    assert labelled.commission() == 0
    assert "mercy-2" in capsys.readouterr().out
    assert {path: path.read_bytes() for path in before} == before
    first, second = labelled.profile(1), labelled.profile(2)
    assert second.manifest.version == 2
    np.testing.assert_array_equal(first.golden_probabilities(), second.golden_probabilities())
    varying = {"created_at", "site", "profile", "verdict"}
    assert {name: value for name, value in labelled.metrics(1).items() if name not in varying} == {
        name: value for name, value in labelled.metrics(2).items() if name not in varying
    }


@pytest.fixture(scope="module")
def mixed(tmp_path_factory, released):
    """Commissioned with two classes of DICOM films, two of each patient, six films without a label, and a damaged one; `out`
    and `err` are what it said.
    """
    site = CommissionedSite(tmp_path_factory.mktemp("mixed"), released)
    for index in range(40):
        finding = TWO[index % 2]
        pixels = phantom_film(finding, 61_000 + index, 128)
        path = site.films / finding / f"{index}.dcm"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(dicom_file(pixels, PatientID=f"MRN-{index // 4 * 2 + index % 2:04}"))
    for index in range(6):
        add_film(site.films, f"new/{index}.png", Finding.PNEUMONIA, 63_000 + index)
    (site.films / "Normal" / "cut.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        assert site.commission() == 0
    site.out, site.err = out.getvalue(), err.getvalue()
    return site


def test_the_verdict_is_one_paragraph_on_stdout_and_progress_goes_to_stderr(mixed):
    verdict, rest = mixed.out.split("\n\n", 1)
    assert verdict == mixed.metrics()["verdict"] and "\n" not in verdict
    lines = rest.splitlines()
    assert lines[0] == f"Report: {mixed.root}/reports/commission-mercy-1/report.html"
    assert lines[-1] == f"Serve it: CXR_BUNDLE={mixed.bundle.path} CXR_SITE={mixed.root}/sites/mercy-1 make serve"
    assert [line[:5] for line in mixed.err.splitlines() if line.startswith("[")] == [f"[{step}/5]" for step in range(1, 6)]
    assert "Used: Normal 20, Tuberculosis 20, unlabelled 6." in mixed.err


def test_a_class_without_films_is_not_verified_and_profile_and_report_say_so(mixed):
    assert any("Pneumonia" in warning for warning in mixed.metrics()["warnings"])
    assert any("Pneumonia" in warning for warning in mixed.profile().manifest.warnings)
    assert set(mixed.metrics()["acceptance"]["before"]["per_class"]) == set(TWO)


def test_a_patient_in_dicom_headers_is_counted_once_and_written_nowhere(mixed):
    assert mixed.metrics()["films"]["patients"] == 20
    digests = {hashlib.sha256(f"MRN-{number:04}\0".encode()).hexdigest().encode() for number in range(20)}
    for path in [path for folder in ("sites", "reports") for path in (mixed.root / folder).rglob("*") if path.is_file()]:
        content = path.read_bytes()
        assert b"MRN-" not in content and not any(digest in content for digest in digests), path


def test_films_with_and_without_labels_are_used_together(mixed):
    metrics = mixed.metrics()
    assert metrics["films"]["by_finding"] == {"Normal": 20, "Tuberculosis": 20, "unlabelled": 6}
    assert metrics["verified"] and metrics["unlabelled"]["films"] == 6
    assert "Measured on 46 films of this site" in metrics["parts"]["drift_reference"]["reason"]
    assert "Without a label, since these folders are not named as a class: new/ 6." in mixed.err


def test_films_that_the_service_refuses_are_listed_and_left_out(mixed):
    assert "Left out as UnreadableImage: 1 (Normal/cut.png)." in mixed.err
    assert mixed.metrics()["films"]["left_out"] == {"UnreadableImage": 1}


def test_a_table_gives_labels_and_patients(site, capsys):
    rows = []
    for index in range(40):
        finding = TWO[index % 2]
        add_film(site.films, f"ward/{index}.png", finding, 60_000 + index)
        rows.append((f"ward/{index}.png", finding, f"patient {index // 4 * 2 + index % 2}"))
    write_table(site.films / "labels.csv", rows)
    assert site.commission() == 0
    films = site.metrics()["films"]
    assert films["by_finding"] == {"Normal": 20, "Tuberculosis": 20}
    assert (films["patients"], films["with_known_patient"]) == (20, 40)
    assert "is unknown" not in capsys.readouterr().err
    assert "is unknown" not in (site.root / "reports/commission-mercy-1/report.md").read_text()


def test_films_without_labels_alone_need_to_be_called_so(site, capsys):
    for index in range(25):
        add_film(site.films, f"{index}.png", FINDINGS[index % 3], 62_000 + index)
    assert site.commission() == 1
    assert "has a label: put films into folders named" in capsys.readouterr().err
    assert site.written() == []
    assert site.commission("--unlabelled") == 0
    metrics = site.metrics()
    assert metrics["verified"] is False and metrics["acceptance"] is None
    assert metrics["unlabelled"]["films"] == 25
    assert sum(each["share"] for each in metrics["unlabelled"]["shares"].values()) == pytest.approx(1, abs=1e-4)
    profile = site.profile()
    assert not profile.manifest.verified and profile.head is None
    assert profile.manifest.films == {"unlabelled": 25}
    assert "drift_reference.json" in profile.manifest.files
    film = site.films / "0.png"
    assert load_model(site.bundle.path, site=profile.path).predict(film).probabilities == load_model(
        site.bundle.path
    ).predict(film).probabilities  # fmt: skip


def test_a_class_of_which_no_film_can_be_used_is_told_instead_of_being_taken_for_missing(site, capsys):
    class_folders(site.films, 20, TWO)
    (site.films / "Pneumonia").mkdir()
    for index in range(30):
        (site.films / "Pneumonia" / f"{index}.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    assert site.commission() == 1
    complaint = capsys.readouterr().err.splitlines()[-1]
    assert complaint.startswith("No film of Pneumonia can be used; Pneumonia/0.png: ")
    assert complaint.endswith("or go on without the class (--leave-out Pneumonia).")
    assert site.written() == []


def test_labelled_films_of_which_none_can_be_used_do_not_leave_a_profile_of_the_others(site, capsys):
    for index in range(3):
        add_film(site.films, f"new/{index}.png", seed=64_000 + index)
    (site.films / "Normal").mkdir()
    (site.films / "Normal" / "cut.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    assert site.commission() == 1
    assert "No film of Normal can be used; Normal/cut.png: " in capsys.readouterr().err
    assert site.written() == []


@pytest.mark.parametrize(("options", "what"), [((), "no labelled film"), (("--unlabelled",), "no film")])
def test_classes_left_out_that_leave_no_film_are_the_fault(site, capsys, options, what):
    class_folders(site.films, 1, (Finding.NORMAL,))
    assert site.commission("--leave-out", "Normal", *options) == 1
    assert f"--leave-out leaves {what} of {site.films} to commission with; leave out fewer" in capsys.readouterr().err


def test_labels_can_be_ignored(site):
    class_folders(site.films, 8)
    assert site.commission("--unlabelled") == 0
    assert site.metrics()["films"]["by_finding"] == {"unlabelled": 24}


def test_confirmed_labels_on_record_find_their_films_in_the_archive(site, tmp_path, monkeypatch, capsys):
    archive, url = tmp_path / "archive", f"sqlite:///{tmp_path}/records.db"
    monkeypatch.setenv("CXR_DATABASE_URL", url)
    store = RecordStore(url)
    store.open()
    for index in range(41):
        film = add_film(archive, f"{index}.png", TWO[index % 2], 64_000 + index)
        digest = hashlib.sha256(film.read_bytes()).hexdigest()
        store.append(entry(index), [prediction(index, image_sha256=digest)]).result(30)
        report(store, Feedback(MOMENT, of_request(index), TWO[index % 2], "dr_who"))
    store.close()
    (archive / "40.png").unlink()
    add_film(site.films, "0.png", Finding.NORMAL, 65_001)  # another film of the same name
    (site.films / "copy.png").write_bytes((archive / "1.png").read_bytes())
    add_film(archive, "unreported.png", Finding.PNEUMONIA, 65_000)
    assert site.commission("--from-feedback", str(archive)) == 0
    assert "41 confirmed labels on record, 40 of their films in" in capsys.readouterr().err
    assert site.metrics()["films"]["by_finding"] == {"Normal": 20, "Tuberculosis": 20, "unlabelled": 1}
    assert site.metrics()["films"]["left_out"] == {"Duplicate": 1}


def test_labels_at_random_give_a_report_and_no_profile(site, capsys):
    rng = np.random.default_rng(0)
    for index in range(40):
        add_film(site.films, f"{TWO[index % 2]}/{index}.png", FINDINGS[rng.integers(3)], 66_000 + index)
    assert site.commission() == 0
    assert site.written() == ["commission-mercy-1"]
    assert site.metrics()["profile"] is None
    shown, err = capsys.readouterr()
    assert "The patient of 40 labelled films is unknown; each counts as a patient of its own." in err
    assert "Check the labels" in shown and "No profile is written." in shown and "CXR_SITE" not in shown


def test_a_number_that_only_a_report_or_only_a_profile_has_is_taken(site):
    class_folders(site.films, 8)
    (site.root / "reports" / "commission-mercy-3").mkdir(parents=True)
    (site.root / "sites" / "mercy-4").mkdir(parents=True)
    (site.root / "sites" / "mercy-x").mkdir()
    (site.root / "sites" / "other-9").mkdir()
    assert site.commission("--unlabelled") == 0
    assert site.profile(5).manifest.version == 5 and site.metrics(5)["site"] == {"name": "mercy", "version": 5}


def test_a_number_that_another_commissioning_takes_meanwhile_is_left_to_it(site, monkeypatch):
    class_folders(site.films, 7)
    (site.root / "reports" / "commission-mercy-1").mkdir(parents=True)
    monkeypatch.setattr(module, "_next_number", lambda job: 1)
    assert site.commission("--unlabelled") == 0
    assert site.written() == ["commission-mercy-1", "commission-mercy-2", "mercy-2"]
    assert list((site.root / "reports" / "commission-mercy-1").iterdir()) == []


def test_a_report_that_is_not_finished_leaves_no_profile(site, monkeypatch):
    class_folders(site.films, 7)
    written = []

    def interrupted(outcome, model, out):
        written.extend(site.written())
        (out / "report.md").write_text("half of it")
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "write_report", interrupted)
    assert site.commission("--unlabelled") == 130
    assert written == ["commission-mercy-1", "mercy-1"]
    assert site.written() == []


def test_a_folder_of_results_that_cannot_be_made_is_told_before_films_are_read(site, capsys):
    class_folders(site.films, 3)
    (site.root / "sites").write_text("a file")
    assert site.commission() == 1
    shown = capsys.readouterr().err
    assert "sites" in shown and "[1/5]" not in shown
