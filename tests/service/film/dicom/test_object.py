import logging
from pathlib import Path

import numpy as np
import pytest
from pydicom import uid
from pydicom.data import get_testdata_file

from service.film.errors import ImageTooLarge, UnreadableImage, UnsupportedDicom
from service.film.film import Radiograph, open_film
from service.film.limits import DecodeLimits
from tests.support.encoded_films import dicom_bytes, dicom_dataset, dicom_file, film

FILM = film()
FULL_RANGE = FILM.copy()
FULL_RANGE[0, :2] = 0, 255


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
    with pytest.raises(UnsupportedDicom, match=r"SOP class is .*, which is not read"):
        Radiograph.from_bytes(Path(get_testdata_file(name, download=False)).read_bytes())


@pytest.mark.parametrize(
    "attributes",
    [
        {"ViewPosition": "LL"},
        {"ViewPosition": "RLD"},
        {"ViewPosition": "LATERAL"},
        {"BodyPartExamined": "HAND"},
        {"BodyPartExamined": "ABDOMEN"},
        {"PatientOrientation": ["A", "F"]},
        {"PatientOrientation": ["PR", "F"]},
    ],
    ids=str,
)
def test_a_film_that_says_it_is_no_frontal_chest_is_read_and_said_to_be_none(attributes):
    assert Radiograph.from_bytes(dicom_file(FILM, **attributes)).denies_frontal_chest


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"ViewPosition": "PA", "BodyPartExamined": "CHEST", "PatientOrientation": ["L", "F"]},
        {"ViewPosition": "AP", "BodyPartExamined": "Thorax"},
        {"ViewPosition": "", "BodyPartExamined": ""},
        {"PatientOrientation": ["", ""]},
    ],
    ids=str,
)
def test_a_frontal_chest_film_says_nothing_else(attributes):
    assert not Radiograph.from_bytes(dicom_file(FILM, **attributes)).denies_frontal_chest


def deflated(dataset):
    dataset.file_meta.TransferSyntaxUID = uid.DeflatedExplicitVRLittleEndian
    return dicom_bytes(dataset)


def test_a_deflated_data_set_is_read():
    assert np.array_equal(Radiograph.from_bytes(deflated(dicom_dataset(FULL_RANGE))).pixels, FULL_RANGE)


def test_a_deflated_bomb_is_refused_before_it_has_inflated():
    data = deflated(dicom_dataset(np.zeros((8000, 8000), np.uint16)))
    assert len(data) < 200_000
    with pytest.raises(UnsupportedDicom, match="inflates to more"):
        Radiograph.from_bytes(data, limits=DecodeLimits(max_pixels=1_000_000))


def test_a_deflated_film_is_not_even_opened_in_the_servers_own_process():
    assert open_film(deflated(dicom_dataset(FILM)), DecodeLimits()).is_costly


@pytest.mark.parametrize("place", [b"\x08\x00\x16\x00UI", b"\x02\x00\x10\x00UI", b"\x28\x00\x10\x00US"])
def test_a_value_of_a_kind_that_there_is_not_is_unreadable(place):
    data = dicom_file(FILM)
    with pytest.raises(UnreadableImage):
        Radiograph.from_bytes(data.replace(place, place[:4] + b"QQ"))


def test_two_transfer_syntaxes_in_one_are_refused():
    data = dicom_file(FILM).replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008\\1.2.1\0")
    with pytest.raises((UnsupportedDicom, UnreadableImage)):
        Radiograph.from_bytes(data)


def test_a_deflated_film_over_the_limit_is_too_large():
    data = deflated(dicom_dataset(np.zeros((1200, 1200), np.uint8)))
    with pytest.raises(ImageTooLarge):
        Radiograph.from_bytes(data, limits=DecodeLimits(max_pixels=1_000_000))


def test_what_only_says_that_it_is_deflated_is_unreadable():
    data = deflated(dicom_dataset(FILM))
    with pytest.raises(UnreadableImage):
        Radiograph.from_bytes(data[:400] + b"not a deflate stream" * 20)


@pytest.mark.parametrize("kind", [np.uint16, np.int16])
def test_overlays_in_unused_bits_do_not_show(kind):
    stored = FULL_RANGE.astype(kind) * 8
    overlay = stored.copy()
    overlay[50:80, 50:80] |= 0x7000 if kind is np.int16 else 0xF000
    attributes = {"BitsStored": 12, "HighBit": 11}
    plain = Radiograph.from_bytes(dicom_file(stored, **attributes)).pixels
    assert np.array_equal(Radiograph.from_bytes(dicom_file(overlay, **attributes)).pixels, plain)


def test_values_stored_at_the_top_of_their_samples_are_read():
    stored = FULL_RANGE.astype(np.uint16) * 16
    plain = Radiograph.from_bytes(dicom_file(stored, BitsStored=12, HighBit=11)).pixels
    moved = Radiograph.from_bytes(dicom_file(stored << 4, BitsStored=12, HighBit=15)).pixels
    assert np.array_equal(moved, plain)


@pytest.mark.parametrize(
    "attributes",
    [{"BitsAllocated": 1, "BitsStored": 1, "HighBit": 0}, {"BitsStored": 0}, {"BitsStored": 9}],
    ids=str,
)
def test_depths_that_cannot_be_are_refused(attributes):
    with pytest.raises(UnsupportedDicom, match="bits"):
        Radiograph.from_bytes(dicom_file(FILM, **attributes))


# PS3.3 C.7.6.3.1: 0 or 1. As a flag, any other number would make the bright half of a film negative.
@pytest.mark.parametrize("representation", [2, 256, 65535])
def test_a_pixel_representation_that_cannot_be_is_refused(representation):
    with pytest.raises(UnsupportedDicom, match=f"PixelRepresentation is {representation}, neither 0 .* nor 1"):
        Radiograph.from_bytes(dicom_file(FILM, PixelRepresentation=representation))


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_padding_is_black_and_leaves_the_contrast_alone(photometric):
    stored = np.roll(FULL_RANGE, 100, axis=1).astype(np.int16) * 4
    stored = 1020 - stored if photometric == "MONOCHROME1" else stored
    padded = stored.copy()
    padded[:, :20] = -2000
    attributes = {"PhotometricInterpretation": photometric}
    plain = Radiograph.from_bytes(dicom_file(stored, **attributes)).pixels
    shown = Radiograph.from_bytes(dicom_file(padded, PixelPaddingValue=-2000, **attributes)).pixels
    assert np.array_equal(shown[:, 20:], plain[:, 20:])
    assert shown[:, :20].max() == 0
    in_range = Radiograph.from_bytes(
        dicom_file(padded, PixelPaddingValue=-3000, PixelPaddingRangeLimit=-1500, **attributes)
    ).pixels
    assert np.array_equal(in_range, shown)


def test_the_spacing_of_pixels_changes_nothing():
    plain = Radiograph.from_bytes(dicom_file(FULL_RANGE))
    spaced = Radiograph.from_bytes(dicom_file(FULL_RANGE, PixelSpacing=[0.1, 0.4], ImagerPixelSpacing=[0.2, 0.2]))
    assert np.array_equal(spaced.pixels, plain.pixels)
    assert (spaced.width_px, spaced.height_px) == (256, 256)


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
