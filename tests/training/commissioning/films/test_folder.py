"""A site's folder as films: class folders, tables of labels, films without a label."""

import errno
import os
import unicodedata
from pathlib import Path

import pytest

from service.model.findings import Finding
from tests.support.training.site_folders import add_film, class_folders, write_table
from training.commissioning.films.folder import FoundFilm, find_films
from training.errors import DatasetError, DatasetNotFound


def found(folder, labels=None):
    """Label and patient of each film by its path."""
    return {film.relative: (film.finding, film.patient) for film in find_films(folder, labels)}


def test_the_name_of_the_folder_is_the_label(tmp_path):
    class_folders(tmp_path, 1, (Finding.NORMAL, Finding.TUBERCULOSIS))
    add_film(tmp_path, "Tuberculosis/ward/deep.png")
    assert found(tmp_path) == {
        "Normal/000.png": (Finding.NORMAL, None),
        "Tuberculosis/000.png": (Finding.TUBERCULOSIS, None),
        "Tuberculosis/ward/deep.png": (Finding.TUBERCULOSIS, None),
    }


def test_a_name_that_is_no_utf_8_is_printable(tmp_path):
    (tmp_path / os.fsdecode(b"film\xff.png")).write_bytes(b"")
    [film] = find_films(tmp_path)
    assert film.relative == "film\\xff.png"
    assert film.path.is_file()


def test_films_elsewhere_have_no_label_and_hidden_files_are_no_films(tmp_path):
    class_folders(tmp_path, 1, (Finding.NORMAL,))
    for relative in ("new/a.png", "b.png", ".c.png", "new/.d/e.png"):
        add_film(tmp_path, relative)
    assert found(tmp_path) == {"Normal/000.png": (Finding.NORMAL, None), "b.png": (None, None), "new/a.png": (None, None)}


def test_a_class_folder_may_be_a_link_into_an_archive(tmp_path):
    class_folders(tmp_path / "archive", 1, (Finding.NORMAL,))
    site = tmp_path / "site"
    site.mkdir()
    (site / "Normal").symlink_to(tmp_path / "archive" / "Normal")
    assert found(site) == {"Normal/000.png": (Finding.NORMAL, None)}


def test_links_to_folders_are_followed_at_any_depth_but_not_back_to_where_they_lie(tmp_path):
    add_film(tmp_path, "archive/ward/a.png")
    site = class_folders(tmp_path / "site", 1, (Finding.NORMAL,))
    (site / "Normal" / "batch1").symlink_to(tmp_path / "archive")
    (tmp_path / "archive" / "ward" / "up").symlink_to(tmp_path / "archive")
    (site / "Normal" / "top").symlink_to(site)
    assert set(found(site)) == {"Normal/000.png", "Normal/batch1/ward/a.png"}


def test_a_folder_that_cannot_be_read_is_named(tmp_path, monkeypatch):
    class_folders(tmp_path, 1, (Finding.NORMAL,))
    add_film(tmp_path, "Normal/closed/a.png")
    iterdir = Path.iterdir

    def refusing(folder):
        if folder.name == "closed":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))
        return iterdir(folder)

    monkeypatch.setattr(Path, "iterdir", refusing)  # root, as whom the tests may run, reads any folder
    with pytest.raises(DatasetError, match=r"Normal/closed cannot be read \(Permission denied\); check its permissions"):
        find_films(tmp_path)


def test_a_file_that_is_named_as_a_class_is_no_film_of_it(tmp_path):
    add_film(tmp_path, "Normal")
    assert found(tmp_path) == {"Normal": (None, None)}


def test_the_table_names_labels_and_patients_and_is_no_film_itself(tmp_path):
    for name in ("a.png", "b c.png", "d.png", "ward/e.png"):
        add_film(tmp_path, name)
    rows = [("a.png", "Normal", "p1"), ("./b c.png", "Tuberculosis", "p1"), (r"ward\e.png", "", " ")]
    write_table(tmp_path / "labels.csv", rows)
    assert found(tmp_path) == {
        "a.png": (Finding.NORMAL, "p1"),
        "b c.png": (Finding.TUBERCULOSIS, "p1"),
        "d.png": (None, None),
        "ward/e.png": (None, None),
    }


def test_a_table_may_add_patients_to_class_folders_lie_elsewhere_and_have_other_columns(tmp_path):
    site = class_folders(tmp_path / "site", 1, (Finding.NORMAL,))
    table = write_table(tmp_path / "table.csv", [("2026", "Normal/000.png", "", "p9")], "date,path,label,patient")
    assert found(site, table) == {"Normal/000.png": (Finding.NORMAL, "p9")}


def test_columns_may_have_spaces_around_their_names_and_others_begin_like_that_of_the_patient(tmp_path):
    add_film(tmp_path, "a.png")
    write_table(tmp_path / "labels.csv", [("a.png", "Normal", "p1", "44")], "path, label, patient,patient_age")
    assert found(tmp_path) == {"a.png": (Finding.NORMAL, "p1")}


@pytest.mark.parametrize(("of_the_file", "of_the_table"), [("NFD", "NFC"), ("NFC", "NFD")])
def test_a_letter_and_its_accent_may_be_one_character_or_two(tmp_path, of_the_file, of_the_table):
    add_film(tmp_path, unicodedata.normalize(of_the_file, "M\u00fcller.png"))
    write_table(tmp_path / "labels.csv", [(unicodedata.normalize(of_the_table, "M\u00fcller.png"), "Normal", "p1")])
    assert list(found(tmp_path).values()) == [(Finding.NORMAL, "p1")]


def test_a_table_without_patients_will_do(tmp_path):
    add_film(tmp_path, "a.png")
    write_table(tmp_path / "labels.csv", [("a.png", "Pneumonia")], "path,label")
    assert find_films(tmp_path) == (FoundFilm(tmp_path / "a.png", "a.png", Finding.PNEUMONIA, None),)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "path,finding\na.png,Normal\n",
            r"lacks the column\(s\) label; its first line is 'path,finding' and must be path,label",
        ),
        ("path,Label\na.png,Normal\n", r"lacks the column\(s\) label; its first line is 'path,Label'"),
        ("path,label,Patient\na.png,Normal,p1\n", "has the column 'Patient' and no column patient; name it patient if"),
        ("path,label,patient_id\na.png,Normal,p1\n", "has the column 'patient_id' and no column patient"),
        ("path,label,PatientID\na.png,Normal,p1\n", "has the column 'PatientID' and no column patient"),
        ("path;label\na.png;Normal\n", r"lacks the column\(s\) path, label"),
        ("", r"lacks the column\(s\) path, label"),
        ("path,label\na.png\n", "line 2, has not as many cells as the header"),
        ("path,label\na.png,Normal,p1\n", "line 2, has not as many cells as the header"),
        ('path,label\n"a.png,Normal\n', "cannot be read as CSV in UTF-8"),
        ("path,label\na.png,normal\n", "line 2: 'normal' is not a label; write Normal, Pneumonia, Tuberculosis"),
        ("path,label\na.png,Normal\na.png,Normal\n", "names a.png on lines 2 and 3"),
        ("path,label\n../a.png,Normal\n", "line 2: '../a.png' is not a path within the folder"),
        ("path,label\nx/../../a.png,Normal\n", "is not a path within the folder"),
        ("path,label\n/etc/passwd,Normal\n", "'/etc/passwd' is not a path within the folder"),
        ("path,label\n,Normal\n", "'' is not a path within the folder"),
        ("path,label\nb.png,Normal\n", r"names 1 file\(s\) that are not in the folder: b.png"),
    ],
)
def test_a_faulty_table_is_refused_with_its_line(tmp_path, text, message):
    add_film(tmp_path, "a.png")
    (tmp_path / "labels.csv").write_text(text)
    with pytest.raises(DatasetError, match=message):
        find_films(tmp_path)


def test_a_table_in_another_encoding_is_refused(tmp_path):
    add_film(tmp_path, "a.png")
    (tmp_path / "labels.csv").write_bytes("path,label,patient\na.png,Normal,M\u00fcller\n".encode("latin-1"))
    with pytest.raises(DatasetError, match="CSV in UTF-8"):
        find_films(tmp_path)


def test_a_table_that_is_not_there_is_named(tmp_path):
    add_film(tmp_path, "a.png")
    with pytest.raises(DatasetError, match=r"nowhere\.csv"):
        find_films(tmp_path, tmp_path / "nowhere.csv")


def test_a_table_and_a_folder_that_contradict_each_other_are_refused(tmp_path):
    class_folders(tmp_path, 1, (Finding.NORMAL,))
    write_table(tmp_path / "labels.csv", [("Normal/000.png", "Pneumonia", "p1")])
    with pytest.raises(DatasetError, match=r"line 2, calls Normal/000\.png Pneumonia, but it lies in Normal/"):
        find_films(tmp_path)


@pytest.mark.parametrize("name", ["normal", "TUBERCULOSIS"])
def test_a_class_folder_that_is_misspelt_is_no_folder_of_films_without_a_label(tmp_path, name):
    class_folders(tmp_path, 1, (Finding.PNEUMONIA,))
    add_film(tmp_path, f"{name}/a.png")
    with pytest.raises(DatasetError, match=f"{name}/ is not named as a class"):
        find_films(tmp_path)


def test_class_folders_one_level_deeper_are_no_films_without_a_label(tmp_path):
    class_folders(tmp_path / "test", 1)
    with pytest.raises(DatasetError, match=r"class folders in test/ and not at its top; give .*/test, or move them"):
        find_films(tmp_path)


def test_a_folder_without_films_and_none_at_all_are_named(tmp_path):
    with pytest.raises(DatasetError, match="holds no files"):
        find_films(tmp_path)
    with pytest.raises(DatasetNotFound, match="nowhere"):
        find_films(tmp_path / "nowhere")
