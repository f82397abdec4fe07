"""Films as the model sees them, and those that are left out."""

import numpy as np
import pytest

from export.phantom import phantom_film
from service.model.findings import Finding
from service.model.model import Model
from service.model.predictor import Predictor
from tests.support.encoded_films import dicom_file, encode
from tests.support.training.site_folders import add_film, class_folders, write_table
from training.commissioning.films.cases import labelled_cases
from training.commissioning.films.folder import find_films
from training.commissioning.films.read import read_films


@pytest.fixture
def read(bundle):
    return lambda folder, threads=2: read_films(bundle, Predictor.from_bundle(bundle), find_films(folder), threads=threads)


def add_dicom(path, seed, **header):
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(dicom_file(phantom_film(Finding.NORMAL, seed, 128), **header))


def left_out(films):
    return {each.film.relative: each.reason for each in films.left_out}


def test_films_get_the_answers_of_the_service_in_every_format(read, bundle, tmp_path):
    folder = class_folders(tmp_path, 2, (Finding.NORMAL,))
    pixels = phantom_film(Finding.PNEUMONIA, 5, 256)
    (folder / "film.jpg").write_bytes(encode(pixels, "JPEG"))
    # Its header turns it upside down, which the service notices.
    (folder / "lying.dcm").write_bytes(
        dicom_file(np.rot90(pixels).copy(), PatientOrientation=["H", "R"], SOPClassUID="1.2.840.10008.5.1.4.1.1.1.1")
    )
    films = read(folder)
    model = Model.from_bundle(bundle)
    assert [each.film.relative for each in films.used] == ["Normal/000.png", "Normal/001.png", "film.jpg", "lying.dcm"]
    for each in films.used:
        prediction = model.predict(each.film.path)
        np.testing.assert_array_equal(each.probabilities, np.array(list(prediction.probabilities.values()), np.float32))
        assert each.observed == prediction.observed
        assert (each.width_px, each.height_px) == (prediction.width_px, prediction.height_px)


def test_what_is_read_does_not_depend_on_the_threads(read, tmp_path):
    folder = class_folders(tmp_path, 2)
    one, three = read(folder, 1), read(folder, 3)
    assert [each.film for each in one.used] == [each.film for each in three.used]
    np.testing.assert_array_equal([each.logits for each in one.used], [each.logits for each in three.used])


def test_what_the_service_would_refuse_is_left_out_with_its_reason(read, tmp_path):
    folder = class_folders(tmp_path, 1)
    (folder / "Normal" / "cut.png").write_bytes((folder / "Normal" / "000.png").read_bytes()[:3000])
    (folder / "Normal" / "small.png").write_bytes(encode(phantom_film(Finding.NORMAL, 1, 64), "PNG"))
    (folder / "notes.txt").write_text("not a film")
    (folder / "gone.png").symlink_to(tmp_path / "nowhere")  # a broken link is no file
    films = read(folder)
    assert left_out(films) == {
        "Normal/cut.png": "UnreadableImage", "Normal/small.png": "ImageTooSmall", "notes.txt": "UnsupportedFormat",
    }  # fmt: skip
    assert len(films.used) == 3


def test_a_copy_is_left_out_whatever_its_file_format(read, tmp_path):
    original = add_film(tmp_path, "Normal/a.png", seed=3)
    (tmp_path / "Normal" / "b.png").write_bytes(original.read_bytes())
    pixels = phantom_film(Finding.NORMAL, 3, 128)
    (tmp_path / "Normal" / "c.dcm").write_bytes(dicom_file(pixels, PatientID="17", PixelData=pixels.tobytes()))
    (tmp_path / "Normal" / "d.bmp").write_bytes(encode(pixels, "BMP"))
    films = read(tmp_path)
    assert [each.film.relative for each in films.used] == ["Normal/a.png"]
    assert left_out(films) == dict.fromkeys(("Normal/b.png", "Normal/c.dcm", "Normal/d.bmp"), "Duplicate")


def test_a_labelled_film_stands_for_its_copies_without_a_label(read, tmp_path):
    add_film(tmp_path, "Normal/z.png", seed=3)
    add_film(tmp_path, "0.png", seed=3)
    films = read(tmp_path)
    assert [each.film.relative for each in films.used] == ["Normal/z.png"]
    assert left_out(films) == {"0.png": "Duplicate"}


def test_one_picture_with_two_labels_is_left_out_altogether(read, tmp_path):
    for relative in ("Normal/a.png", "Tuberculosis/a.png", "a.png"):
        add_film(tmp_path, relative, seed=3)
    films = read(tmp_path)
    assert films.used == ()
    assert set(left_out(films).values()) == {"Contradiction"}


def test_a_patient_of_the_table_and_of_the_header_is_one(read, bundle, tmp_path):
    for number in range(4):
        add_dicom(tmp_path / f"{number}.dcm", number, PatientID="17" if number < 3 else "18")
    write_table(tmp_path / "labels.csv", [("0.dcm", "Normal", "17"), ("1.dcm", "Normal", ""), ("3.dcm", "Normal", "19")])
    patients = [each.patient for each in read(tmp_path).used]
    assert patients[0] == patients[1] == patients[2] != patients[3]
    assert labelled_cases(read(tmp_path).used[:2], bundle.manifest).patients == ("patient-1", "patient-1")


def test_a_film_is_of_the_patient_that_any_of_its_copies_names(read, tmp_path):
    add_film(tmp_path, "Normal/a.png", seed=3)
    pixels = phantom_film(Finding.NORMAL, 3, 128)
    (tmp_path / "copy.dcm").write_bytes(dicom_file(pixels, PatientID="17", PixelData=pixels.tobytes()))
    add_dicom(tmp_path / "Normal" / "other.dcm", 4, PatientID="17")
    films = read(tmp_path)
    assert left_out(films) == {"copy.dcm": "Duplicate"}
    first, other = (each.patient for each in films.used)
    assert first and first == other


def test_films_become_arrays_with_patients_from_tables_and_headers(read, bundle, tmp_path):
    for number, patient in enumerate(("MRN 1", "MRN 2", "MRN 1")):
        add_dicom(tmp_path / "Normal" / f"{number}.dcm", number, PatientID=patient)
    add_film(tmp_path, "Tuberculosis/a.png", Finding.TUBERCULOSIS)
    films = read(tmp_path).used
    cases = labelled_cases(films, bundle.manifest)
    assert cases.labels.tolist() == [0, 0, 0, 2]
    assert cases.patients == ("patient-1", "patient-2", "patient-1", "patient-3")
    assert cases.embeddings.shape == (4, bundle.manifest.head.features)
    assert cases.images.shape == (4, 224, 224)
    np.testing.assert_array_equal(cases.outlier_scores, [each.observed.outlier_score for each in films])
