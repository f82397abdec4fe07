import logging
from pathlib import Path

import pytest
from pydicom import uid
from pydicom.data import get_testdata_file

from service.film.errors import UnreadableImage, UnsupportedDicom
from service.film.film import Radiograph
from tests.support.encoded_films import assert_refused, dicom_file, film

FILM = film()


@pytest.mark.parametrize(
    "sop_class",
    [
        uid.ComputedRadiographyImageStorage,
        uid.DigitalXRayImageStorageForPresentation,
        uid.SecondaryCaptureImageStorage,
        uid.MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
    ],
)
def test_films_of_these_classes_are_read(sop_class):
    assert Radiograph.from_bytes(dicom_file(FILM, SOPClassUID=sop_class)).width_px == 256


@pytest.mark.parametrize(
    ("sop_class", "named"),
    [
        (uid.CTImageStorage, "CT Image Storage"),
        (uid.MRImageStorage, "MR Image Storage"),
        (uid.DigitalMammographyXRayImageStorageForPresentation, "Mammography"),
        (uid.EncapsulatedPDFStorage, "Encapsulated PDF"),
        (uid.DigitalXRayImageStorageForProcessing, "for processing"),
        ("1.2.826.0.1.3680043.8.498.99999.DOE", "the DICOM standard does not name"),
    ],
)
def test_other_objects_are_refused_by_the_name_of_their_class(sop_class, named):
    with pytest.raises(UnsupportedDicom, match=named) as refused:
        Radiograph.from_bytes(dicom_file(FILM, SOPClassUID=sop_class))
    assert "DOE" not in str(refused.value)


@pytest.mark.parametrize("name", ["test-SR.dcm", "rtplan.dcm", "waveform_ecg.dcm", "CT_small.dcm", "rtdose.dcm"])
def test_real_objects_that_are_no_films_are_refused(name):
    assert_refused(
        Path(get_testdata_file(name, download=False)).read_bytes(), UnsupportedDicom, r"SOP class is .*, which is not read"
    )


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
