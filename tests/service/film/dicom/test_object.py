import logging
from pathlib import Path

import pytest
from pydicom import uid
from pydicom.data import get_testdata_file

from service.film.errors import UnreadableImage, UnsupportedDicom
from service.film.film import Radiograph
from tests.support.encoded_films import assert_refused, dicom_file, film

FILM = film()


READ = (
    uid.ComputedRadiographyImageStorage,
    uid.DigitalXRayImageStorageForPresentation,
    uid.SecondaryCaptureImageStorage,
    uid.MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
)


@pytest.mark.parametrize("sop_class", READ)
def test_films_of_these_classes_are_read(sop_class):
    assert Radiograph.from_bytes(dicom_file(FILM, SOPClassUID=sop_class)).width_px == 256


REAL = ("test-SR.dcm", "rtplan.dcm", "waveform_ecg.dcm", "CT_small.dcm", "rtdose.dcm")
REFUSED = [
    ("CT Image Storage, which is not read", dicom_file(FILM, SOPClassUID=uid.CTImageStorage)),
    ("Mammography", dicom_file(FILM, SOPClassUID=uid.DigitalMammographyXRayImageStorageForPresentation)),
    ("for processing", dicom_file(FILM, SOPClassUID=uid.DigitalXRayImageStorageForProcessing)),
    # Not by its number, which a device makes up.
    ("class is one that the DICOM standard does not name, which is not", dicom_file(FILM, SOPClassUID="1.2.826.0.1.99999.DOE")),
    *[("SOP class is .*, which is not read", Path(get_testdata_file(name, download=False)).read_bytes()) for name in REAL],
]


@pytest.mark.parametrize(("words", "data"), REFUSED, ids=range(len(REFUSED)))
def test_other_objects_are_refused_by_the_name_of_their_class(words, data):
    assert_refused(data, UnsupportedDicom, words)


PATIENT = {
    "PatientName": "Doe^Jane", "PatientID": "MRN-4711", "PatientBirthDate": "19700131", "PatientAddress": "Elm Street 5",
    "InstitutionName": "St. Elsewhere", "ReferringPhysicianName": "Quack^Dr", "AccessionNumber": "ACC-99",
}  # fmt: skip


@pytest.mark.parametrize(
    "spoilt", [{}, {"SOPClassUID": uid.CTImageStorage}, {"Rows": 400}, {"BitsStored": 9}, {"ViewPosition": "LL"}], ids=str
)
def test_nothing_of_the_patient_is_kept_told_or_logged(spoilt, caplog):
    caplog.set_level(logging.DEBUG)
    data = dicom_file(FILM, **PATIENT, **spoilt)
    assert all(value.encode() in data for value in PATIENT.values())
    try:
        said = repr(Radiograph.from_bytes(data))
    except (UnsupportedDicom, UnreadableImage) as refused:
        said = str(refused) + repr(refused.__cause__)
    for value in PATIENT.values():
        assert value not in said
        assert value not in caplog.text
