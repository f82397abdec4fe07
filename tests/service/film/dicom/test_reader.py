import struct
import tracemalloc

import numpy as np
import pytest
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    RLELossless,
)

from service.film.dicom import header as dicom
from service.film.dicom import lookup_table
from service.film.errors import UnreadableImage, UnsupportedDicom
from service.film.film import Radiograph
from tests.support.encoded_films import dicom_bytes, dicom_dataset, dicom_file, film

FILM = film()
FULL_RANGE = FILM.copy()
FULL_RANGE[0, :2] = 0, 255  # so that showing the range present changes nothing


def test_monochrome2_is_shown_as_stored():
    assert np.array_equal(Radiograph.from_bytes(dicom_file(FULL_RANGE)).pixels, FULL_RANGE)


def test_monochrome1_is_inverted_once():
    data = dicom_file(255 - FULL_RANGE, PhotometricInterpretation="MONOCHROME1")
    assert np.array_equal(Radiograph.from_bytes(data).pixels, FULL_RANGE)


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_air_is_dark_and_bone_bright_whatever_the_photometric_interpretation(photometric):
    deep = FULL_RANGE.astype(np.uint16) * 16
    stored = 4080 - deep if photometric == "MONOCHROME1" else deep
    data = dicom_file(stored, PhotometricInterpretation=photometric, BitsStored=12, HighBit=11)
    assert np.abs(Radiograph.from_bytes(data).pixels.astype(int) - FULL_RANGE).max() <= 1


def test_the_window_is_applied():
    data = dicom_file(FULL_RANGE, WindowCenter=100, WindowWidth=50)
    pixels = Radiograph.from_bytes(data).pixels
    assert np.all(pixels[FULL_RANGE <= 74] == 0)
    assert np.all(pixels[FULL_RANGE >= 126] == 255)
    between = pixels[FULL_RANGE == 100]
    assert between.size and np.all((between > 110) & (between < 145))


FAINT = (50 + FULL_RANGE.astype(int) * 100 // 255).astype(np.uint8)  # 50 to 150, far from filling the display


def voi_lut(first: int, bits: int, entries: np.ndarray) -> list[Dataset]:
    """A VOILUTSequence of one table."""
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [len(entries), first, bits])
    item.add_new("LUTData", "OW", entries.astype("<u2").tobytes())
    return [item]


def test_a_window_wider_than_the_film_leaves_the_film_faint():
    pixels = Radiograph.from_bytes(dicom_file(FAINT, WindowCenter=128, WindowWidth=256)).pixels
    assert np.array_equal(pixels, FAINT)


def test_without_a_window_the_range_present_is_shown():
    pixels = Radiograph.from_bytes(dicom_file(FAINT)).pixels
    assert (pixels.min(), pixels.max()) == (0, 255)


def test_a_voi_lut_is_shown_by_its_own_output_range():
    table = np.arange(256) * 16  # 12 bit
    plain = Radiograph.from_bytes(dicom_file(FAINT, VOILUTSequence=voi_lut(0, 12, table))).pixels
    assert np.array_equal(plain, np.floor(table[FAINT] * (255 / 4095) + 0.5))
    inverted = Radiograph.from_bytes(
        dicom_file(FAINT, PhotometricInterpretation="MONOCHROME1", VOILUTSequence=voi_lut(0, 12, table))
    )
    assert np.array_equal(inverted.pixels, 255 - plain)


def test_a_voi_lut_goes_before_a_window():
    data = dicom_file(FAINT, VOILUTSequence=voi_lut(0, 8, np.arange(256)), WindowCenter=10, WindowWidth=2)
    assert np.array_equal(Radiograph.from_bytes(data).pixels, FAINT)


def test_a_negative_rescale_slope_is_shown_as_the_window_of_the_rescaled_values():
    data = dicom_file(FULL_RANGE, RescaleSlope=-1, RescaleIntercept=255, WindowCenter=128, WindowWidth=256)
    assert np.array_equal(Radiograph.from_bytes(data).pixels, 255 - FULL_RANGE)


@pytest.mark.parametrize("window", [{}, {"WindowCenter": 40, "WindowWidth": 900}], ids=["range present", "window"])
@pytest.mark.parametrize("rescale", [{}, {"RescaleSlope": 0.5, "RescaleIntercept": -7}], ids=["as stored", "rescaled"])
@pytest.mark.parametrize("signed", [False, True])
def test_a_film_is_shown_alike_whatever_the_width_of_its_samples(signed, rescale, window):
    values = FULL_RANGE.astype(np.int64) * 11 - (1400 if signed else 0)
    narrow, wide = (np.int16, np.int32) if signed else (np.uint16, np.uint32)
    by_table = Radiograph.from_bytes(dicom_file(values.astype(narrow), **rescale, **window)).pixels
    by_band = Radiograph.from_bytes(dicom_file(values.astype(wide), **rescale, **window)).pixels
    assert np.array_equal(by_table, by_band)


def test_a_modality_lut_is_applied_to_the_values_that_occur():
    modality = voi_lut(0, 16, np.arange(256)[::-1] * 100)
    modality[0].ModalityLUTType = "US"
    assert np.array_equal(Radiograph.from_bytes(dicom_file(FULL_RANGE, ModalityLUTSequence=modality)).pixels, 255 - FULL_RANGE)


def test_a_rescale_slope_that_overflows_is_unreadable():
    with pytest.raises(UnreadableImage, match="again"):
        Radiograph.from_bytes(dicom_file(FULL_RANGE, RescaleSlope="1e400", RescaleIntercept=0))


@pytest.mark.parametrize(
    "attributes", [{}, {"WindowCenter": 500, "WindowWidth": 300}, {"RescaleSlope": 2, "RescaleIntercept": -3}]
)
def test_a_deep_film_is_not_widened_to_be_shown(attributes):
    side_px = 1000
    data = dicom_file(np.arange(side_px * side_px, dtype=np.uint16).reshape(side_px, -1), **attributes)
    tracemalloc.start()
    try:
        Radiograph.from_bytes(data)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    stored, decoded, shown, tables = 2, 2, 1, 3  # bytes a pixel; the tables are of fixed size
    assert peak_bytes < (stored + decoded + shown + tables) * side_px * side_px


def written(keyword: str, value: str, **attributes: object) -> bytes:
    """A film with an attribute of 16 characters, numbers or not, as a device wrote it."""
    placeholder = "1234567890123456"
    data = dicom_file(FULL_RANGE, **{"WindowCenter": 128, "WindowWidth": 256} | attributes | {keyword: placeholder})
    assert data.count(placeholder.encode()) == 1
    return data.replace(placeholder.encode(), value.ljust(16).encode())


@pytest.mark.parametrize(
    ("keyword", "value"),
    [("WindowWidth", value) for value in ("0", "-1", "0.5", "wide", "nan", "inf", "1e400", "256;256")]
    + [("WindowCenter", value) for value in ("auto", "NaN", "-inf", "1.0,5")],
)
def test_a_film_whose_window_cannot_be_is_shown_without_one_and_says_so(keyword, value):
    film = Radiograph.from_bytes(written(keyword, value))
    assert np.array_equal(film.pixels, FULL_RANGE)
    assert film.display_fault == "it has no window of a centre and a width of at least 1"


@pytest.mark.parametrize("window", [("128,0", "256"), ("128", "256,0"), ("128\\9", "256\\1"), ("x\\128", "9\\256")])
def test_a_film_whose_window_can_be_read_has_no_fault(window):
    center, width = window
    data = written("WindowCenter", center, WindowWidth="6543210987654321").replace(
        b"6543210987654321", width.ljust(16).encode()
    )
    film = Radiograph.from_bytes(data)
    assert np.array_equal(film.pixels, FULL_RANGE)
    assert film.display_fault == ""


def test_a_rescale_slope_of_0_is_not_applied_and_said_to_be_none():
    film = Radiograph.from_bytes(dicom_file(FULL_RANGE, RescaleSlope=0, RescaleIntercept=7, WindowCenter=128, WindowWidth=256))
    assert np.array_equal(film.pixels, FULL_RANGE)
    assert film.display_fault == "its rescale slope is 0"


@pytest.mark.parametrize("value", ["one", "nan", "inf", "1e400", "1.5.2"])
@pytest.mark.parametrize("keyword", ["RescaleSlope", "RescaleIntercept"])
def test_a_rescaling_that_cannot_be_read_is_refused_since_it_may_turn_black_to_white(keyword, value):
    with pytest.raises(UnreadableImage, match="rescale slope or intercept"):
        Radiograph.from_bytes(written(keyword, value))


def test_a_rescaling_with_a_decimal_comma_is_read():
    data = written("RescaleSlope", "0,5", RescaleIntercept=10, WindowCenter=74, WindowWidth=128)
    assert np.abs(Radiograph.from_bytes(data).pixels.astype(int) - FULL_RANGE).max() <= 1


# PS3.5 7.4.5: an attribute without a value means what its absence means.
EMPTY_MEANS_ABSENT = (
    "RescaleSlope", "RescaleIntercept", "RescaleType", "VOILUTFunction", "NumberOfFrames", "PixelPaddingValue",
    "PixelPaddingRangeLimit", "HighBit", "BitsStored", "SamplesPerPixel", "PixelRepresentation", "VOILUTSequence",
    "ModalityLUTSequence",
)  # fmt: skip
SYNTAXES = (ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian)


def dicom_in(syntax: UID, dataset: Dataset) -> bytes:
    dataset.file_meta.TransferSyntaxUID = syntax
    return dicom_bytes(dataset)


@pytest.mark.parametrize("syntax", [*SYNTAXES, JPEG2000Lossless, RLELossless], ids=lambda syntax: syntax.name)
@pytest.mark.parametrize(
    "keywords", [*((each,) for each in EMPTY_MEANS_ABSENT), EMPTY_MEANS_ABSENT], ids=lambda names: names[0]
)
def test_an_empty_attribute_is_an_absent_one(syntax, keywords):
    dataset = dicom_dataset(FULL_RANGE, WindowCenter=128, WindowWidth=256)
    if syntax.is_compressed:
        dataset.compress(syntax, encoding_plugin="pydicom" if syntax == RLELossless else "")
    for keyword in keywords:
        dataset.add_new(keyword, dictionary_VR(keyword).partition(" or ")[0], None)
    film = Radiograph.from_bytes(dicom_in(syntax, dataset))
    assert np.array_equal(film.pixels, FULL_RANGE)
    assert film.display_fault == ""


@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda syntax: syntax.name)
@pytest.mark.parametrize("keywords", [("WindowCenter",), ("WindowWidth",), ("WindowCenter", "WindowWidth")])
def test_an_empty_window_is_none_and_no_fault(syntax, keywords):
    dataset = dicom_dataset(FULL_RANGE, WindowCenter=9, WindowWidth=3)
    for keyword in keywords:
        dataset.add_new(keyword, "DS", None)
    film = Radiograph.from_bytes(dicom_in(syntax, dataset))
    assert np.array_equal(film.pixels, FULL_RANGE)
    assert film.display_fault == ""


def test_the_other_half_of_a_rescaling_is_1_or_0():
    half = dicom_file(FULL_RANGE, RescaleIntercept=-100, WindowCenter=28, WindowWidth=256)
    assert np.array_equal(Radiograph.from_bytes(half).pixels, FULL_RANGE)
    half = dicom_file(FULL_RANGE, RescaleSlope=2, WindowCenter=255, WindowWidth=511)
    assert np.abs(Radiograph.from_bytes(half).pixels.astype(int) - FULL_RANGE).max() <= 1


@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda syntax: syntax.name)
@pytest.mark.parametrize(
    ("keyword", "message"),
    [
        ("PixelData", "holds no image"), ("Rows", "holds no image"), ("Columns", "holds no image"),
        ("PhotometricInterpretation", "photometric interpretation ''"), ("BitsAllocated", "in samples of 0 bits"),
    ],
)  # fmt: skip
def test_what_no_film_can_be_read_without_is_asked_for_by_name(syntax, keyword, message):
    dataset = dicom_dataset(FULL_RANGE)
    dataset.add_new(keyword, dictionary_VR(keyword).partition(" or ")[0], None)
    with pytest.raises(UnsupportedDicom, match=message):
        Radiograph.from_bytes(dicom_in(syntax, dataset))


def test_without_a_transfer_syntax_nothing_is_guessed():
    data = dicom_file(FULL_RANGE).replace(b"1.2.840.10008.1.2.1\0", bytes(20))
    with pytest.raises(UnreadableImage, match="names no transfer syntax"):
        Radiograph.from_bytes(data)


def test_a_number_that_is_none_is_refused_by_its_name():
    with pytest.raises(UnreadableImage, match="NumberOfFrames is no whole number"):
        Radiograph.from_bytes(written("NumberOfFrames", "one"))


@pytest.mark.parametrize("spoil", [lambda data: data[:300], lambda data: data.replace(b"US\x02\x00", b"US\xff\xff")])
def test_no_refusal_names_a_programs_error(spoil):
    with pytest.raises((UnreadableImage, UnsupportedDicom)) as refused:
        Radiograph.from_bytes(spoil(dicom_file(FULL_RANGE)))
    assert "Error" not in str(refused.value) and "Exception" not in str(refused.value)


def test_of_several_windows_the_first_is_applied():
    first = dicom_file(FULL_RANGE, WindowCenter=100, WindowWidth=50)
    both = dicom_file(FULL_RANGE, WindowCenter=[100, 200], WindowWidth=[50, 10])
    assert np.array_equal(Radiograph.from_bytes(both).pixels, Radiograph.from_bytes(first).pixels)


def test_the_window_is_in_rescaled_units():
    plain = dicom_file(FULL_RANGE, WindowCenter=100, WindowWidth=50)
    rescaled = dicom_file(FULL_RANGE, RescaleSlope=2, RescaleIntercept=-1000, WindowCenter=-800, WindowWidth=100)
    difference = Radiograph.from_bytes(plain).pixels.astype(int) - Radiograph.from_bytes(rescaled).pixels
    assert np.abs(difference).max() <= 4


def test_signed_values_are_read_as_signed():
    data = dicom_file(FULL_RANGE.astype(np.int16) - 100)
    assert np.array_equal(Radiograph.from_bytes(data).pixels, FULL_RANGE)


def test_implicit_vr_and_big_endian_are_read():
    dataset = dicom_dataset(FULL_RANGE)
    dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    assert np.array_equal(Radiograph.from_bytes(dicom_bytes(dataset)).pixels, FULL_RANGE)
    dataset = dicom_dataset((FULL_RANGE.astype(np.uint16) * 257).byteswap(), BitsAllocated=16, BitsStored=16, HighBit=15)
    dataset.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    assert np.array_equal(Radiograph.from_bytes(dicom_bytes(dataset)).pixels, FULL_RANGE)


def test_a_uniform_film_is_black_not_an_error():
    assert Radiograph.from_bytes(dicom_file(np.full((120, 120), 7, np.uint8))).pixels.max() == 0


def test_several_frames_are_refused():
    data = dicom_file(np.vstack([FILM, FILM]), Rows=FILM.shape[0], NumberOfFrames=2)
    with pytest.raises(UnsupportedDicom, match="2 frames"):
        Radiograph.from_bytes(data)


def test_colour_is_refused():
    data = dicom_file(np.dstack([FILM] * 3), SamplesPerPixel=3, PhotometricInterpretation="RGB", PlanarConfiguration=0)
    with pytest.raises(UnsupportedDicom, match="RGB"):
        Radiograph.from_bytes(data)


def test_an_object_without_pixels_is_refused():
    with pytest.raises(UnsupportedDicom, match="no image"):
        Radiograph.from_bytes(dicom_file(FILM, PixelData=None))


def implicit_with(attributes: bytes, before: int) -> bytes:
    """An Implicit VR film with these encoded attributes before a tag."""
    dataset = dicom_dataset(FULL_RANGE)
    dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    data = dicom_bytes(dataset)
    place = data.index(struct.pack("<HH", before >> 16, before & 0xFFFF))
    return data[:place] + attributes + data[place:]


ROWS, PIXEL_DATA, VOI_LUT_SEQUENCE = 0x00280010, 0x7FE00010, (0x0028, 0x3010)
EMPTY_ITEM = struct.pack("<HHI", 0xFFFE, 0xE000, 0)


@pytest.mark.parametrize("count", [100, dicom.MAX_READS])
def test_attributes_up_to_a_limit_are_read_and_no_more(count):
    private = struct.pack("<HHI", 0x0019, 0x1001, 0)
    data = implicit_with(private * count, ROWS)
    if count < dicom.MAX_READS:
        assert np.array_equal(Radiograph.from_bytes(data).pixels, FULL_RANGE)
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
        assert np.array_equal(Radiograph.from_bytes(data).pixels, FULL_RANGE)
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


def test_pixels_that_contradict_the_header_are_unreadable():
    with pytest.raises(UnreadableImage, match="do not match the header"):
        Radiograph.from_bytes(dicom_file(FILM, Rows=400))


def test_patient_tags_are_never_parsed():
    header = dicom.read_header(dicom_file(FILM))
    assert "PatientName" not in header.dataset
