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
from tests.support.encoded_films import SYNTAXES, dicom_bytes, dicom_dataset, dicom_file, dicom_with_texts, film, pixels_of

FILM = film()
FILM[0, :2] = 0, 255  # so that showing the range present changes nothing


@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda syntax: syntax.name)
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
    with pytest.raises(UnsupportedDicom, match=message):
        Radiograph.from_bytes(dicom_bytes(dataset, syntax))


def test_without_a_transfer_syntax_nothing_is_guessed():
    data = dicom_file(FILM).replace(b"1.2.840.10008.1.2.1\0", bytes(20))
    with pytest.raises(UnreadableImage, match="names no transfer syntax"):
        Radiograph.from_bytes(data)


def test_a_number_that_is_none_is_refused_by_its_name():
    with pytest.raises(UnreadableImage, match="NumberOfFrames is no whole number"):
        Radiograph.from_bytes(dicom_with_texts(FILM, {"NumberOfFrames": b"one"}))


@pytest.mark.parametrize("spoil", [lambda data: data[:300], lambda data: data.replace(b"US\x02\x00", b"US\xff\xff")])
def test_no_refusal_names_a_programs_error(spoil):
    with pytest.raises((UnreadableImage, UnsupportedDicom)) as refused:
        Radiograph.from_bytes(spoil(dicom_file(FILM)))
    assert "Error" not in str(refused.value) and "Exception" not in str(refused.value)


def test_several_frames_are_refused():
    data = dicom_file(np.vstack([FILM, FILM]), Rows=FILM.shape[0], NumberOfFrames=2)
    with pytest.raises(UnsupportedDicom, match="2 frames"):
        Radiograph.from_bytes(data)


def test_colour_is_refused():
    data = dicom_file(np.dstack([FILM] * 3), SamplesPerPixel=3, PhotometricInterpretation="RGB", PlanarConfiguration=0)
    with pytest.raises(UnsupportedDicom, match="RGB"):
        Radiograph.from_bytes(data)


def implicit_with(attributes: bytes, before: int) -> bytes:
    """An Implicit VR film with these encoded attributes before a tag."""
    data = dicom_file(FILM, uid.ImplicitVRLittleEndian)
    offset = data.index(struct.pack("<HH", before >> 16, before & 0xFFFF))
    return data[:offset] + attributes + data[offset:]


ROWS, PIXEL_DATA, VOI_LUT_SEQUENCE = 0x00280010, 0x7FE00010, (0x0028, 0x3010)
EMPTY_ITEM = struct.pack("<HHI", 0xFFFE, 0xE000, 0)


@pytest.mark.parametrize("count", [100, dicom.MAX_READS])
def test_attributes_up_to_a_limit_are_read_and_no_more(count):
    private = struct.pack("<HHI", 0x0019, 0x1001, 0)
    data = implicit_with(private * count, ROWS)
    if count < dicom.MAX_READS:
        assert np.array_equal(pixels_of(data), FILM)
    else:
        with pytest.raises(UnsupportedDicom, match="too many attributes"):
            Radiograph.from_bytes(data)


def test_items_of_a_sequence_count_as_attributes():
    undefined = struct.pack("<HHI", *VOI_LUT_SEQUENCE, 0xFFFFFFFF) + EMPTY_ITEM * dicom.MAX_READS
    with pytest.raises(UnsupportedDicom, match="too many attributes"):
        Radiograph.from_bytes(implicit_with(undefined, PIXEL_DATA))


def test_tables_up_to_a_limit_are_taken_apart_and_no_longer():
    fitting = dicom.MAX_TABLE_BYTES // len(EMPTY_ITEM)
    for items in (fitting, fitting + 1):
        sequence = struct.pack("<HHI", *VOI_LUT_SEQUENCE, items * len(EMPTY_ITEM)) + EMPTY_ITEM * items
        data = implicit_with(sequence, PIXEL_DATA)
        if items == fitting:
            assert dicom.read_header(data).width_px == FILM.shape[1]
        else:
            with pytest.raises(UnsupportedDicom, match="lookup tables take"):
                dicom.read_header(data)


@pytest.mark.parametrize("items", [lookup_table.MAX_ITEMS, lookup_table.MAX_ITEMS + 1])
def test_items_of_a_sequence_of_tables_are_read_up_to_a_limit_and_no_more(items):
    sequence = struct.pack("<HHI", *VOI_LUT_SEQUENCE, items * len(EMPTY_ITEM)) + EMPTY_ITEM * items
    data = implicit_with(sequence, PIXEL_DATA)
    if items == lookup_table.MAX_ITEMS:
        assert np.array_equal(pixels_of(data), FILM)
    else:
        with pytest.raises(UnsupportedDicom, match="more than 100 lookup tables"):
            Radiograph.from_bytes(data)


def test_a_table_in_a_sequence_of_undefined_length_is_measured_too():
    data = bytes(dicom.MAX_TABLE_BYTES + 2)
    item = struct.pack("<HHIHHH", 0x0028, 0x3002, 6, 1, 0, 16) + struct.pack("<HHI", 0x0028, 0x3006, len(data)) + data
    ends = struct.pack("<HHI", 0xFFFE, 0xE00D, 0) + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
    sequence = (
        struct.pack("<HHI", *VOI_LUT_SEQUENCE, 0xFFFFFFFF) + struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF) + item + ends
    )
    with pytest.raises(UnsupportedDicom, match="lookup tables take"):
        dicom.read_header(implicit_with(sequence, PIXEL_DATA))


def test_no_value_of_the_header_is_taken_apart_that_is_longer_than_its_kind_ever_is():
    for keyword in dicom._SHORT_KEYWORDS:
        tag = tag_for_keyword(keyword)
        element = struct.pack("<HHI", tag >> 16, tag & 0xFFFF, dicom.MAX_VALUE_BYTES + 2) + b"1\\" * (
            dicom.MAX_VALUE_BYTES // 2 + 1
        )
        with pytest.raises(UnsupportedDicom, match=f"1026 bytes in {keyword}"):
            dicom.read_header(implicit_with(element, PIXEL_DATA))


@pytest.mark.parametrize("is_nested", [False, True])
def test_a_character_set_of_many_values_is_refused_wherever_it_stands(is_nested):
    element = struct.pack("<HHI", 0x0008, 0x0005, 200_000) + b"1\\" * 100_000
    if is_nested:
        ends = struct.pack("<HHI", 0xFFFE, 0xE00D, 0) + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
        undefined = struct.pack("<HHI", 0x0008, 0x1140, 0xFFFFFFFF) + struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)
        element = undefined + element + ends
    with pytest.raises(UnsupportedDicom, match="200000 bytes in a header attribute"):
        dicom.read_header(implicit_with(element, ROWS))


def test_a_long_text_that_is_none_of_our_business_is_read_past():
    comment = struct.pack("<HHI", 0x0020, 0x4000, 200_000) + b"1\\" * 100_000
    assert dicom.read_header(implicit_with(comment, ROWS)).width_px == FILM.shape[1]


def test_patient_tags_are_never_parsed():
    header = dicom.read_header(dicom_file(FILM))
    assert "PatientName" not in header.dataset


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


@pytest.mark.parametrize("start", [b"\x08\x00\x16\x00UI", b"\x02\x00\x10\x00UI", b"\x28\x00\x10\x00US"])
def test_a_value_of_a_kind_that_there_is_not_is_unreadable(start):
    data = dicom_file(FILM)
    with pytest.raises(UnreadableImage):
        Radiograph.from_bytes(data.replace(start, start[:4] + b"QQ"))


def test_two_transfer_syntaxes_in_one_are_refused():
    data = dicom_file(FILM).replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008\\1.2.1\0")
    with pytest.raises((UnsupportedDicom, UnreadableImage)):
        Radiograph.from_bytes(data)


def test_the_spacing_of_pixels_changes_nothing():
    plain = Radiograph.from_bytes(dicom_file(FILM))
    spaced = Radiograph.from_bytes(dicom_file(FILM, PixelSpacing=[0.1, 0.4], ImagerPixelSpacing=[0.2, 0.2]))
    assert np.array_equal(spaced.pixels, plain.pixels)
    assert (spaced.width_px, spaced.height_px) == (256, 256)
