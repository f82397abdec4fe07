"""Modality and VOI LUTs through the whole decoder, in every encoding that a data set may have."""

import numpy as np
import pytest
from pydicom import uid
from pydicom.dataset import Dataset

from service.film.dicom.lookup_table import LookupTable
from service.film.errors import UnsupportedDicom
from tests.support.compressed_dicom import compressed_dicom
from tests.support.encoded_films import SYNTAXES, assert_refused, dicom_file, film, lut_sequence, pixels_of

# 12 bit, with all of its values from one end to the other.
DEEP = film(128).astype(np.uint16) * 16
DEEP[0, :2] = 0, 4095
SHOWN = (DEEP * (255 / 4095) + 0.5).astype(np.uint8)
TWELVE = {"BitsAllocated": 16, "BitsStored": 12, "HighBit": 11}


def word(syntax: uid.UID) -> str:
    return "<u2" if syntax.is_little_endian else ">u2"


def ramp(syntax: uid.UID, count: int = 4096) -> np.ndarray:
    return np.arange(count).astype(word(syntax))


RESCALED_BELOW_ZERO = {"RescaleSlope": 1, "RescaleIntercept": -2048} | TWELVE
RESCALED_ABOVE_ZERO = {"RescaleSlope": 1, "RescaleIntercept": 32768}


# PS3.3 C.11.2.1.1: the second value is signed if the table's input may be: the output of the rescaling if that may be
# negative, without a rescaling the stored values. Its VR is US as often as SS; in implicit VR it is not written at all.
@pytest.mark.parametrize("syntax", [*SYNTAXES, uid.JPEG2000Lossless], ids=lambda syntax: syntax.name)
@pytest.mark.parametrize("vr", ["SS", "US"])
@pytest.mark.parametrize(
    "source", ["rescaled below zero", "signed pixels", "unsigned pixels", "rescaled above zero", "modality LUT"]
)
def test_a_voi_lut_begins_with_the_sign_of_its_input_whatever_its_vr(syntax, vr, source):
    signed = DEEP.astype(np.int16) - 2048
    modality = lut_sequence([4096, -2048, 16], ramp(syntax, 44096)[40000:], vr="SS")  # whose output has no sign (C.11.1.1.1)
    stored, attributes, first = {
        "rescaled below zero": (DEEP, RESCALED_BELOW_ZERO, -2048),
        "signed pixels": (signed, TWELVE, -2048),
        "unsigned pixels": (DEEP + np.uint16(40000), {}, 40000),
        "rescaled above zero": ((DEEP.astype(int) + 7232).astype(np.int16), RESCALED_ABOVE_ZERO, 40000),
        "modality LUT": (signed, TWELVE | {"ModalityLUTSequence": modality}, 40000),
    }[source]
    written = int(np.array(first).astype(np.int16 if vr == "SS" else np.uint16))
    voi = lut_sequence([4096, written, 12], ramp(syntax), vr=vr)
    assert np.array_equal(pixels_of(compressed_dicom(stored, syntax, VOILUTSequence=voi, **attributes)), SHOWN)


@pytest.mark.parametrize(("vr", "first"), [("SS", -2048), ("US", 63488)])
@pytest.mark.parametrize("bits", [10, 11, 12, 13, 14, 15, 16])
def test_a_modality_lut_of_signed_pixels_is_read_at_any_depth_whatever_its_vr(syntax, vr, first, bits):
    scale = 2.0 ** (bits - 12)
    entries = (np.arange(4096) * scale).astype(word(syntax))
    modality = lut_sequence([4096, first, bits], entries, vr=vr)
    data = dicom_file(
        DEEP.astype(np.int16) - 2048, syntax, ModalityLUTSequence=modality,
        WindowCenter=2048 * scale, WindowWidth=4096 * scale, VOILUTFunction="LINEAR_EXACT", **TWELVE,
    )  # fmt: skip
    assert np.abs(pixels_of(data).astype(int) - DEEP // 4 * 4 * (255 / 4096)).max() <= 1.5


# Most image objects must say 8 or 16 (C.11.2.1.1), which is then the size of an entry and not its depth.
@pytest.mark.parametrize(
    ("declared", "largest", "depth"),
    [
        (16, 4095, 12), (16, 1023, 10), (16, 255, 8), (16, 2500, 12), (16, 32767, 15), (16, 65535, 16), (16, 60000, 16),
        (16, 4096, 12),
        (12, 4095, 12), (12, 3000, 12), (12, 200, 12), (12, 4096, 12), (10, 1023, 10),
        (8, 255, 8), (8, 100, 8), (8, 4095, 12), (10, 4095, 12), (0, 4095, 12), (0, 255, 8), (17, 4095, 12), (32, 4095, 12),
    ],
)  # fmt: skip
def test_a_voi_lut_has_the_depth_of_its_entries_where_its_descriptor_names_their_size(declared, largest, depth):
    entries = np.arange(4096) * (largest / 4095)
    data = dicom_file(DEEP, VOILUTSequence=lut_sequence([4096, 0, declared], entries.astype("<u2")), **TWELVE)
    expected = np.minimum(np.floor(entries.astype("<u2")[DEEP] * (255 / ((1 << depth) - 1)) + 0.5), 255)
    assert np.abs(pixels_of(data) - expected).max() <= 1


EIGHT = (np.arange(4096) >> 4).astype(np.uint8)

# Packed: two entries of 8 bits in a word, the first in its low byte; big endian writes the high byte first (PS3.5 7.3).
FORMS = {
    "OW words": EIGHT.astype,
    "OW packed": lambda kind: EIGHT.view("<u2").astype(kind),
    "US words": lambda _: EIGHT,
    "US packed": lambda _: EIGHT.view("<u2"),
    "SS words": lambda _: EIGHT,
    "OB": lambda _: EIGHT,
}


# Implicit VR has OW only (PS3.5 A.1).
@pytest.mark.parametrize(
    ("syntax", "form"), [(syntax, form) for syntax in SYNTAXES for form in FORMS if form != "OB" or not syntax.is_implicit_VR]
)
def test_entries_of_eight_bits_are_read_from_words_and_from_bytes(syntax, form):
    voi = lut_sequence([4096, 0, 8], FORMS[form](word(syntax)), data_vr=form[:2])
    assert np.array_equal(pixels_of(dicom_file(DEEP, syntax, VOILUTSequence=voi, **TWELVE)), EIGHT[DEEP])


def test_a_count_of_zero_means_65536_entries(syntax):
    stored = DEEP.astype(np.uint16) * 16 + 15
    shown = pixels_of(dicom_file(stored, syntax, VOILUTSequence=lut_sequence([0, 0, 16], ramp(syntax, 1 << 16))))
    assert np.array_equal(shown, np.floor(stored * (255 / 65535) + 0.5))


def without(*keywords: str) -> list[Dataset]:
    items = lut_sequence([4096, 0, 12], np.zeros(4096, "<u2"))
    for keyword in keywords:
        items[0][keyword].value = None
    return items


# PS3.5 7.4.5: an attribute without a value means what its absence means.
@pytest.mark.parametrize("sequence", ["VOILUTSequence", "ModalityLUTSequence"])
@pytest.mark.parametrize(
    "items",
    [
        [], [Dataset()], [Dataset(), Dataset()],
        without("LUTDescriptor"), without("LUTData"), without("LUTDescriptor", "LUTData"),
    ],
    ids=["no item", "an empty item", "two empty items", "no descriptor", "no data", "neither"],
)  # fmt: skip
def test_a_table_that_is_empty_is_none(sequence, items, syntax):
    shown = pixels_of(dicom_file(DEEP, syntax, **{sequence: items}, WindowCenter=2048, WindowWidth=4096, **TWELVE))
    assert np.array_equal(shown, SHOWN)


READ = {
    "the first that is one": [Dataset(), *without("LUTData"), *lut_sequence([4096, 0, 12], np.arange(4096).astype("<u2"))],
    "by the other sign, where no input could be": lut_sequence(
        [4352, -256, 12], np.maximum(np.arange(4352) - 256, 0).astype("<u2"), vr="SS"
    ),
}


@pytest.mark.parametrize("name", READ)
def test_a_table_is_read_as_it_was_meant(name):
    assert np.array_equal(pixels_of(dicom_file(DEEP, VOILUTSequence=READ[name], **TWELVE)), SHOWN)


@pytest.mark.parametrize("sequence", ["VOILUTSequence", "ModalityLUTSequence"])
@pytest.mark.parametrize(
    ("descriptor", "message"),
    [
        ([4096, 0, 12], "4000 entries instead of 4096"),
        ([8000, 0, 16], "4000 entries instead of 8000"),  # not 8000 entries of one byte each
        ([4000, 0], "2 values instead of 3"),
    ],
)
def test_a_table_that_is_damaged_is_refused_by_what_it_lacks(sequence, descriptor, message):
    items = lut_sequence(descriptor, np.arange(4000).astype("<u2"))
    assert_refused(dicom_file(DEEP, **{sequence: items}, **TWELVE), UnsupportedDicom, message)


def test_values_beyond_a_table_take_the_entry_at_its_end_and_values_between_entries_the_nearest():
    table = LookupTable(10, np.array([0.0, 1.0, 0.2]), 16)
    assert table(np.array([-5, 9, 10, 11, 12, 13, 1e9])).tolist() == [0, 0, 0, 1, 0.2, 0.2, 0.2]
    assert table(np.array([10.9999999, 11.4, 11.6])).tolist() == [1, 1, 0.2]
