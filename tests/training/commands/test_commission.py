"""What `cxr commission` says of input that it cannot use."""

import pytest

from service.commands.cxr import main
from service.model.findings import DISEASES, Finding
from service.records.store import RecordStore
from tests.support.training.site_folders import TWO, add_film, class_folders


@pytest.mark.parametrize("name", ["", "St-Anna", "st anna", "-a", "a/b", "a" * 41, "..", "é"])
def test_a_site_name_that_is_no_folder_name_is_refused(site, capsys, name):
    class_folders(site.films, 1)
    assert site.commission(name=name) == 1
    assert "The site's name is" in capsys.readouterr().err
    assert site.written() == []


def test_a_damaged_bundle_is_not_commissioned(site, tmp_path, capsys):
    class_folders(site.films, 1)
    assert site.commission("--bundle", str(tmp_path)) == 1
    assert "No bundle at" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], "--site"),
        (["--site", "a"], "give the folder of the site's films"),
        (["--demo", "--site", "a"], "the synthetic hospital takes no other films, labels or name"),
        (["--site", "a", "films", "--leave-out", "Covid"], "Covid"),
        (["--site", "a", "films", "--threads", "0"], "threads"),
    ],
)
def test_wrong_usage_is_one_line_and_status_2(options, words, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["commission", *options]) == 2
    shown = capsys.readouterr()
    assert words in shown.err and len(shown.err.splitlines()) == 1 and shown.out == ""
    assert list(tmp_path.iterdir()) == []


def test_too_few_films_of_a_class_are_an_error_with_a_remedy(site, capsys):
    class_folders(site.films, 20, TWO)
    class_folders(site.films, 3, (Finding.PNEUMONIA,))
    assert site.commission() == 1
    fault = capsys.readouterr().err.splitlines()[-1]
    assert "Pneumonia" in fault and "3" in fault and "--leave-out Pneumonia" in fault
    assert site.written() == []
    assert site.commission("--leave-out", "Pneumonia") == 0
    assert site.metrics()["films"]["classes_left_out"] == {"Pneumonia": 3}
    assert site.metrics()["films"]["by_finding"] == {"Normal": 20, "Tuberculosis": 20}


def test_a_folder_of_refused_films_alone_is_an_error_that_names_the_first(site, capsys):
    (site.films / "Normal").mkdir(parents=True)
    (site.films / "Normal" / "cut.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    assert site.commission() == 1
    fault = capsys.readouterr().err.splitlines()[-1]
    assert fault.startswith("None of the 1 films can be used; Normal/cut.png: The PNG file is damaged")
    assert site.written() == []


def test_an_archive_without_a_film_that_is_on_record_is_named(site, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("CXR_DATABASE_URL", f"sqlite:///{tmp_path}/records.db")
    add_film(tmp_path / "archive", "0.png")
    assert site.commission("--from-feedback", str(tmp_path / "archive"), films=False) == 1
    assert "There is no file at CXR_DATABASE_URL" in capsys.readouterr().err
    store = RecordStore(f"sqlite:///{tmp_path}/records.db")
    store.open()
    store.close()
    assert site.commission("--from-feedback", str(tmp_path / "archive"), films=False) == 1
    assert "holds no film with a confirmed label on record" in capsys.readouterr().err
    assert site.commission("--from-feedback", str(tmp_path / "nowhere"), films=False) == 1
    assert "There is no archive folder" in capsys.readouterr().err


def test_a_disease_that_is_left_out_altogether_may_leave_one_class_which_is_too_few(site, capsys):
    class_folders(site.films, 20)
    assert site.commission(*[word for disease in DISEASES for word in ("--leave-out", disease)]) == 1
    assert "class" in capsys.readouterr().err.splitlines()[-1]
