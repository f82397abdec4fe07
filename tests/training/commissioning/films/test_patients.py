"""Which films count as one patient's."""

import pytest
from pydicom import uid

from export.phantom import phantom_film
from service.model.findings import Finding
from tests.support.encoded_films import dicom_file
from training.commissioning.films.patients import HEADER, TABLE, merged, numbered, patient_in_header

PIXELS = phantom_film(Finding.NORMAL, 1, 128)


def test_films_of_one_patient_have_one_name_that_tells_nothing():
    miller, smith, unknown = (frozenset(identities) for identities in ([(TABLE, "Miller")], [(TABLE, "Smith")], []))
    assert numbered([miller, unknown, smith, miller, unknown]) == (
        "patient-1", "patient-2", "patient-3", "patient-1", "patient-4",
    )  # fmt: skip


def test_films_that_share_an_identity_are_of_one_patient_also_over_other_films():
    films = [{(TABLE, "17")}, {(HEADER, "d")}, {(TABLE, "d")}, set(), {(HEADER, "e")}, {(TABLE, "17"), (HEADER, "d")}, set()]
    assert numbered(merged([frozenset(each) for each in films])) == (
        "patient-1", "patient-1", "patient-2", "patient-3", "patient-4", "patient-1", "patient-5",
    )  # fmt: skip


def test_an_id_that_every_header_has_makes_no_patient_of_those_that_the_table_tells_apart():
    anonymous = (HEADER, "anon")
    of_table = [{(TABLE, str(number)), anonymous} for number in (17, 18, 19, 20, 21, 22, 17)]
    names = numbered(merged([frozenset(each) for each in (*of_table, {anonymous}, {anonymous})]))
    assert names[6] == names[0]
    assert len(set(names)) == 8


def test_an_id_in_the_headers_of_few_patients_of_the_table_is_one_patient_whom_the_table_names_by_visit():
    films = [{(TABLE, f"visit {number}"), (HEADER, "a")} for number in range(5)] + [{(TABLE, "other"), (HEADER, "b")}]
    assert len(set(numbered(merged([frozenset(each) for each in films])))) == 2


@pytest.mark.parametrize("films", [[{"T17", "h1", "h2"}, {"h1"}, {"h2"}], [{"h1", "h2", "h3"}, {"h1"}]])
def test_copies_of_a_film_with_several_ids_in_their_headers_are_of_one_patient_with_its_other_films(films):
    identities = [frozenset((TABLE if name[0] == "T" else HEADER, name) for name in each) for each in films]
    assert set(numbered(merged(identities))) == {"patient-1"}


@pytest.mark.parametrize("syntax", [uid.ExplicitVRLittleEndian, uid.ImplicitVRLittleEndian, uid.DeflatedExplicitVRLittleEndian])
def test_the_id_in_a_header_tells_patients_apart_and_cannot_be_read_from_the_digest(syntax):
    first, again, other = (
        patient_in_header(dicom_file(pixels, syntax, PatientID=identity))
        for pixels, identity in ((PIXELS, "MRN 17"), (PIXELS[::-1].copy(), "MRN 17 "), (PIXELS, "MRN 18"))
    )
    assert first == again != other
    assert first is not None and "MRN" not in first
    assert len(first) == 64


def test_one_number_of_two_issuers_is_of_two_patients():
    one, two = (patient_in_header(dicom_file(PIXELS, PatientID="17", IssuerOfPatientID=issuer)) for issuer in "AB")
    assert one != two


@pytest.mark.parametrize("data", [dicom_file(PIXELS), dicom_file(PIXELS, PatientID=""), b"no DICOM", b""])
def test_without_an_id_the_patient_is_unknown(data):
    assert patient_in_header(data) is None
