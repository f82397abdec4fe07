"""Headers that are read and refused, and the limits on what is parsed of them."""

import struct

import numpy as np
import pytest
from pydicom import uid
from pydicom.datadict import dictionary_VR, tag_for_keyword

from service.film.dicom import header as dicom
from service.film.dicom import lookup_table
from service.film.errors import UnreadableImage, UnsupportedDicom
from service.film.film import Radiograph
from tests.support.encoded_films import (
    assert_refused,
    dicom_bytes,
    dicom_dataset,
    dicom_file,
    dicom_with_texts,
    film,
    pixels_of,
)

FILM = film()
FILM[0, :2] = 0, 255  # so that showing the range present changes nothing


@pytest.mark.parametrize(
    ("keyword", "message"),
    [
        ("PixelData", "holds no image"), ("Rows", "holds no image"), ("Columns", "holds no image"),
        ("PhotometricInterpretation", "photometric interpretation ''"), ("BitsAllocated", "in samples of 0 bits"),
    ],
)  # fmt: skip
def test_what_no_film_can_be_read_without_is_asked_for_by_name(syntax, keyword, message):
    dataset = dicom_dataset(FILM)
    dataset.add_new(keyword, dictionary_VR(keyword).partition(" or ")[0], None)
    assert_refused(dicom_bytes(dataset, syntax), UnsupportedDicom, message)


def test_the_spacing_of_pixels_changes_nothing():
    plain = Radiograph.from_bytes(dicom_file(FILM))
    spaced = Radiograph.from_bytes(dicom_file(FILM, PixelSpacing=[0.1, 0.4], ImagerPixelSpacing=[0.2, 0.2]))
    assert np.array_equal(spaced.pixels, plain.pixels)
    assert (spaced.width_px, spaced.height_px) == (256, 256)


def test_patient_tags_are_never_parsed():
    data = dicom_file(FILM, PatientName="Doe^Jane")
    assert b"Doe^Jane" in data and "PatientName" not in dicom.read_header(data).dataset


def element(tag: int, value: bytes, length: int | None = None) -> bytes:
    """In Implicit VR. length: as it is stated, of the value if left out."""
    return struct.pack("<HHI", tag >> 16, tag & 0xFFFF, len(value) if length is None else length) + value


def implicit_with(attributes: bytes, before: int) -> bytes:
    """An Implicit VR film with these encoded attributes before a tag."""
    data = dicom_file(FILM, uid.ImplicitVRLittleEndian)
    offset = data.index(struct.pack("<HH", before >> 16, before & 0xFFFF))
    return data[:offset] + attributes + data[offset:]


ROWS, PIXEL_DATA, VOI_LUT_SEQUENCE, ITEM = 0x00280010, 0x7FE00010, 0x00283010, 0xFFFEE000
UNDEFINED = 0xFFFFFFFF
ENDS = element(0xFFFEE00D, b"") + element(0xFFFEE0DD, b"")  # of an item and of a sequence of undefined length
TOO_LONG_TABLE = element(0x00283002, struct.pack("<HHH", 1, 0, 16)) + element(0x00283006, bytes(dicom.MAX_TABLE_BYTES + 2))
CHARACTER_SETS = element(0x00080005, b"1\\" * 100_000)


def tables(items: int) -> bytes:
    return element(VOI_LUT_SEQUENCE, element(ITEM, b"") * items)


WITHIN_LIMITS = {
    "attributes": implicit_with(element(0x00191001, b"") * 100, ROWS),
    "tables": implicit_with(tables(lookup_table.MAX_ITEMS), PIXEL_DATA),
    "a text that is not read": implicit_with(element(0x00204000, b"1\\" * 100_000), ROWS),
}


@pytest.mark.parametrize("name", WITHIN_LIMITS)
def test_what_is_within_the_limits_is_read(name):
    assert np.array_equal(pixels_of(WITHIN_LIMITS[name]), FILM)


READABLE = dicom_file(FILM)
REFUSED = [
    (UnsupportedDicom, "2 frames", dicom_file(np.vstack([FILM, FILM]), Rows=FILM.shape[0], NumberOfFrames=2)),
    (UnsupportedDicom, "holds no image", dicom_file(FILM, PixelData=None)),
    (UnsupportedDicom, "RGB", dicom_file(np.dstack([FILM] * 3), SamplesPerPixel=3, PhotometricInterpretation="RGB")),
    (UnsupportedDicom, "1 bits in samples of 1 bits", dicom_file(FILM, BitsAllocated=1, BitsStored=1, HighBit=0)),
    (UnsupportedDicom, "values of 0 bits", dicom_file(FILM, BitsStored=0)),
    (UnsupportedDicom, "values of 9 bits", dicom_file(FILM, BitsStored=9)),
    # PS3.3 C.7.6.3.1: 0 or 1. As a flag, any other number would make the bright half of a film negative.
    (UnsupportedDicom, "PixelRepresentation is 2, neither 0 .* nor 1", dicom_file(FILM, PixelRepresentation=2)),
    (UnsupportedDicom, "PixelRepresentation is 256, neither 0 .* nor 1", dicom_file(FILM, PixelRepresentation=256)),
    (UnreadableImage, "names no transfer syntax", READABLE.replace(b"1.2.840.10008.1.2.1\0", bytes(20))),
    (UnsupportedDicom, "unknown transfer syntax", READABLE.replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008\\1.2.1\0")),
    (UnreadableImage, "NumberOfFrames is no whole number", dicom_with_texts(FILM, {"NumberOfFrames": b"one"})),
    # A value representation that there is not: of the class, the transfer syntax, the rows.
    (UnreadableImage, "cannot be parsed", READABLE.replace(b"\x08\x00\x16\x00UI", b"\x08\x00\x16\x00QQ")),
    (UnreadableImage, "cannot be parsed", READABLE.replace(b"\x02\x00\x10\x00UI", b"\x02\x00\x10\x00QQ")),
    (UnreadableImage, "Rows is no whole number", READABLE.replace(b"\x28\x00\x10\x00US", b"\x28\x00\x10\x00QQ")),
    # What would take long to parse.
    (UnsupportedDicom, "too many attributes", implicit_with(element(0x00191001, b"") * dicom.MAX_READS, ROWS)),
    (
        UnsupportedDicom,
        "too many attributes",
        implicit_with(element(VOI_LUT_SEQUENCE, element(ITEM, b"") * dicom.MAX_READS, UNDEFINED), PIXEL_DATA),
    ),
    (UnsupportedDicom, "more than 100 lookup tables", implicit_with(tables(lookup_table.MAX_ITEMS + 1), PIXEL_DATA)),
    (UnsupportedDicom, "lookup tables take", implicit_with(tables(dicom.MAX_TABLE_BYTES // 8 + 1), PIXEL_DATA)),
    (
        UnsupportedDicom,
        "lookup tables take",
        implicit_with(element(VOI_LUT_SEQUENCE, element(ITEM, TOO_LONG_TABLE, UNDEFINED) + ENDS, UNDEFINED), PIXEL_DATA),
    ),
    (UnsupportedDicom, "200000 bytes in a header attribute", implicit_with(CHARACTER_SETS, ROWS)),
    (
        UnsupportedDicom,
        "200000 bytes in a header attribute",
        implicit_with(element(0x00081140, element(ITEM, CHARACTER_SETS, UNDEFINED) + ENDS, UNDEFINED), ROWS),
    ),
]


@pytest.mark.parametrize(("kind", "words", "data"), REFUSED, ids=range(len(REFUSED)))
def test_what_is_no_film_or_takes_long_to_parse_is_refused_by_name(kind, words, data):
    assert_refused(data, kind, words)


def test_tables_that_fit_are_measured_and_pass():
    assert dicom.read_header(implicit_with(tables(dicom.MAX_TABLE_BYTES // 8), PIXEL_DATA)).width_px == FILM.shape[1]


def test_no_value_is_parsed_that_is_longer_than_its_kind_ever_is():
    for keyword in dicom._SHORT_KEYWORDS:
        long = element(tag_for_keyword(keyword), b"1\\" * (dicom.MAX_VALUE_BYTES // 2 + 1))
        assert_refused(implicit_with(long, PIXEL_DATA), UnsupportedDicom, f"1026 bytes in {keyword}")
