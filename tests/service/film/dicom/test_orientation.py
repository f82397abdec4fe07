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


def facts(radiograph):
    return radiograph.width_px, radiograph.height_px, radiograph.orientation, radiograph.denies_frontal_chest


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("upright", [UPRIGHT, DEEP], ids=["8 bit", "16 bit"])
def test_a_film_that_lies_in_any_way_is_turned_to_left_and_foot(orientation, upright):
    radiograph = Radiograph.from_bytes(dicom_file(lying_as(orientation, upright), PatientOrientation=list(orientation)))
    assert np.array_equal(radiograph.pixels, UPRIGHT)
    assert facts(radiograph) == (160, 240, "stated", False)


@pytest.mark.parametrize("syntax", [*SYNTAXES, uid.JPEG2000Lossless, uid.JPEGLSLossless, uid.JPEGLosslessSV1, uid.RLELossless])
def test_a_film_is_turned_in_every_transfer_syntax(syntax):
    radiograph = Radiograph.from_bytes(compressed_dicom(lying_as("FR", DEEP), syntax, PatientOrientation=["F", "R"]))
    assert np.array_equal(radiograph.pixels, UPRIGHT)
    assert facts(radiograph) == (160, 240, "stated", False)


def test_a_film_of_dark_bone_is_turned_and_inverted():
    radiograph = Radiograph.from_bytes(
        dicom_file(255 - lying_as("RF", UPRIGHT), PhotometricInterpretation="MONOCHROME1", PatientOrientation=["R", "F"])
    )
    assert np.array_equal(radiograph.pixels, UPRIGHT)


def mirrored(text: bytes) -> Radiograph:
    """A mirrored film with this Patient Orientation."""
    return Radiograph.from_bytes(dicom_with_texts(lying_as("RF", UPRIGHT), {"PatientOrientation": text}))


@pytest.mark.parametrize("text", [b"R\\F", b"r\\f", b" R \\ F ", b"RF\\FL", b"RP\\FA", b"RPF\\FAL", b"R\0\\F\0"], ids=repr)
def test_the_first_letter_of_each_value_is_its_main_direction(text):
    radiograph = mirrored(text)
    assert np.array_equal(radiograph.pixels, UPRIGHT)
    assert facts(radiograph) == (160, 240, "stated", False)


@pytest.mark.parametrize(
    "text",
    [
        b"", b"\\", b"L", b"R\\", b"\\F", b"L\\R", b"H\\F", b"R\\R", b"R\\F\\A", b"RL\\F", b"RR\\F", b"X\\F", b"LE\\CD",
        b"RT\\CR", b"R/F", b"RIGHT\\FOOT", b"1\\0", b"\xff\xfe\\F",
    ],
    ids=repr,
)  # fmt: skip
def test_an_orientation_that_cannot_be_read_is_taken_for_none(text):
    radiograph = mirrored(text)
    assert np.array_equal(radiograph.pixels, lying_as("RF", UPRIGHT))
    assert facts(radiograph) == (160, 240, "assumed", False)


@pytest.mark.parametrize("text", [b"A\\F", b"P\\F", b"PR\\F", b"R\\A", b"L\\P", b"al\\f", b"A\\H", b"F\\A", b"A\\"], ids=repr)
def test_a_picture_that_runs_to_the_front_or_the_back_is_shown_as_stored_and_flagged(text):
    radiograph = mirrored(text)
    assert np.array_equal(radiograph.pixels, lying_as("RF", UPRIGHT))
    assert facts(radiograph) == (160, 240, "assumed", True)


def test_an_animal_is_flagged_and_its_letters_are_not_taken_for_a_persons():
    data = dicom_file(UPRIGHT, PatientOrientation=["R", "F"], AnatomicalOrientationType="QUADRUPED")
    radiograph = Radiograph.from_bytes(data)
    assert np.array_equal(radiograph.pixels, UPRIGHT)
    assert facts(radiograph) == (160, 240, "assumed", True)
    biped = dicom_file(lying_as("RF", UPRIGHT), PatientOrientation=["R", "F"], AnatomicalOrientationType="BIPED")
    assert facts(Radiograph.from_bytes(biped)) == (160, 240, "stated", False)


TURNS = [
    {"FieldOfViewHorizontalFlip": "YES"},
    {"FieldOfViewRotation": "90"},
    {"FieldOfViewRotation": "180.0", "FieldOfViewHorizontalFlip": "NO"},
    {"FieldOfViewRotation": "0", "FieldOfViewHorizontalFlip": "YES"},
]


@pytest.mark.parametrize("turn", TURNS, ids=str)
def test_a_film_that_was_turned_nobody_knows_how_is_shown_as_stored_and_flagged(turn):
    for orientation in (None, ["", ""], "", ["L", ""]):
        attributes = turn | ({} if orientation is None else {"PatientOrientation": orientation})
        radiograph = Radiograph.from_bytes(dicom_file(UPRIGHT, **attributes))
        assert np.array_equal(radiograph.pixels, UPRIGHT)
        assert facts(radiograph) == (160, 240, "assumed", True)


@pytest.mark.parametrize("turn", TURNS, ids=str)
def test_the_orientation_of_the_stored_pixels_holds_the_turn_already(turn):
    radiograph = Radiograph.from_bytes(dicom_file(lying_as("RF", UPRIGHT), PatientOrientation=["R", "F"], **turn))
    assert np.array_equal(radiograph.pixels, UPRIGHT)
    assert facts(radiograph) == (160, 240, "stated", False)


@pytest.mark.parametrize(
    "turn",
    [
        {"FieldOfViewHorizontalFlip": "NO", "FieldOfViewRotation": "0"},
        {"FieldOfViewHorizontalFlip": "", "FieldOfViewRotation": ""},
        {"FieldOfViewRotation": "360"},
        {"FieldOfViewRotation": "0.0"},
    ],
    ids=str,
)
def test_a_film_that_was_not_turned_is_not_flagged(turn):
    assert facts(Radiograph.from_bytes(dicom_file(UPRIGHT, **turn))) == (160, 240, "assumed", False)


def test_a_rotation_that_is_no_number_says_nothing():
    for text in (b"NONE", b"nan", b"inf", b"90\\0"):
        data = dicom_with_texts(UPRIGHT, {"FieldOfViewRotation": text})
        assert facts(Radiograph.from_bytes(data)) == (160, 240, "assumed", False)
