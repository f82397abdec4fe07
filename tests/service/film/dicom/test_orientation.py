"""A film is turned as its header says it lies: DICOM PS3.3 C.7.6.1.1.1 (Patient Orientation), C.8.11.4 (field of view)."""

import numpy as np
import pytest
from pydicom import uid

from service.film.film import Radiograph
from tests.support.compressed_dicom import compressed_dicom
from tests.support.encoded_films import ORIENTATIONS, SYNTAXES, dicom_file, dicom_with_texts, film, lying_as

# Not square, and its corners differ.
UPRIGHT = film(240)[:, :160].copy()
UPRIGHT[0, :2] = 0, 255
DEEP = UPRIGHT.astype(np.uint16) * 257


MIRRORED = lying_as("RF", UPRIGHT)


def assert_read(data: bytes, shown: np.ndarray, orientation: str, *, flagged: bool = False) -> None:
    radiograph = Radiograph.from_bytes(data)
    assert np.array_equal(radiograph.pixels, shown)
    assert (radiograph.width_px, radiograph.height_px) == (160, 240)
    assert (radiograph.orientation, radiograph.denies_frontal_chest) == (orientation, flagged)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("upright", [UPRIGHT, DEEP], ids=["8 bit", "16 bit"])
def test_a_film_that_lies_in_any_way_is_turned_to_left_and_foot(orientation, upright):
    assert_read(dicom_file(lying_as(orientation, upright), PatientOrientation=list(orientation)), UPRIGHT, "stated")


@pytest.mark.parametrize("syntax", [*SYNTAXES, uid.JPEG2000Lossless, uid.JPEGLSLossless, uid.JPEGLosslessSV1, uid.RLELossless])
def test_a_film_is_turned_in_every_transfer_syntax(syntax):
    assert_read(compressed_dicom(lying_as("FR", DEEP), syntax, PatientOrientation=["F", "R"]), UPRIGHT, "stated")


def test_a_film_of_dark_bone_is_turned_and_inverted():
    data = dicom_file(255 - MIRRORED, PhotometricInterpretation="MONOCHROME1", PatientOrientation=["R", "F"])
    assert_read(data, UPRIGHT, "stated")


# The first letter of each value is its main direction.
READ = (b"R\\F", b"r\\f", b" R \\ F ", b"RF\\FL", b"RP\\FA", b"RPF\\FAL", b"R\0\\F\0")
NOT_READ = (
    b"", b"\\", b"L", b"R\\", b"\\F", b"L\\R", b"H\\F", b"R\\R", b"R\\F\\A", b"RL\\F", b"RR\\F", b"X\\F", b"LE\\CD",
    b"RT\\CR", b"R/F", b"RIGHT\\FOOT", b"1\\0", b"\xff\xfe\\F",
)  # fmt: skip
TO_FRONT_OR_BACK = (b"A\\F", b"P\\F", b"PR\\F", b"R\\A", b"L\\P", b"al\\f", b"A\\H", b"F\\A", b"A\\")


@pytest.mark.parametrize("text", [*READ, *NOT_READ, *TO_FRONT_OR_BACK], ids=repr)
def test_a_patient_orientation_is_read_taken_for_none_or_flagged(text):
    data = dicom_with_texts(MIRRORED, {"PatientOrientation": text})
    if text in READ:
        assert_read(data, UPRIGHT, "stated")
    else:
        assert_read(data, MIRRORED, "assumed", flagged=text in TO_FRONT_OR_BACK)


def test_an_animal_is_flagged_and_its_letters_are_not_taken_for_a_persons():
    quadruped, biped = (
        dicom_file(MIRRORED, PatientOrientation=["R", "F"], AnatomicalOrientationType=kind) for kind in ("QUADRUPED", "BIPED")
    )
    assert_read(quadruped, MIRRORED, "assumed", flagged=True)
    assert_read(biped, UPRIGHT, "stated")


TURNS = [
    {"FieldOfViewHorizontalFlip": "YES"},
    {"FieldOfViewRotation": "90"},
    {"FieldOfViewRotation": "180.0", "FieldOfViewHorizontalFlip": "NO"},
    {"FieldOfViewRotation": "0", "FieldOfViewHorizontalFlip": "YES"},
]


@pytest.mark.parametrize("turn", TURNS, ids=str)
def test_a_film_that_was_turned_nobody_knows_how_is_shown_as_stored_and_flagged(turn):
    for unknown in ({}, *({"PatientOrientation": orientation} for orientation in (["", ""], "", ["L", ""]))):
        assert_read(dicom_file(UPRIGHT, **turn, **unknown), UPRIGHT, "assumed", flagged=True)
    # The orientation of the stored pixels holds the turn already.
    assert_read(dicom_file(MIRRORED, PatientOrientation=["R", "F"], **turn), UPRIGHT, "stated")


@pytest.mark.parametrize("flip", [b"NO", b""])
@pytest.mark.parametrize("rotation", [b"", b"0", b"0.0", b"360", b"NONE", b"nan", b"inf", b"90\\0"])
def test_a_film_that_was_not_turned_is_not_flagged(rotation, flip):
    data = dicom_with_texts(UPRIGHT, {"FieldOfViewRotation": rotation, "FieldOfViewHorizontalFlip": flip})
    assert_read(data, UPRIGHT, "assumed")
