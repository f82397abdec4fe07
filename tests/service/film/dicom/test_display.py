"""Modality LUT, VOI LUT and window of a DICOM film, through the whole decoder."""

import numpy as np
import pytest
from pydicom.datadict import dictionary_VR
from pydicom.uid import JPEG2000Lossless, RLELossless

from service.film.errors import UnreadableImage
from service.film.film import Radiograph
from tests.support.encoded_films import (
    SYNTAXES,
    assert_refused,
    dicom_bytes,
    dicom_dataset,
    dicom_file,
    dicom_with_texts,
    film,
    lut_sequence,
    peak_bytes,
    pixels_of,
)

FILM = film()
FULL_RANGE = FILM.copy()
FULL_RANGE[0, :2] = 0, 255  # so that showing the range present changes nothing


def test_monochrome1_is_inverted_once():
    data = dicom_file(255 - FULL_RANGE, PhotometricInterpretation="MONOCHROME1")
    assert np.array_equal(pixels_of(data), FULL_RANGE)


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_air_is_dark_and_bone_bright_whatever_the_photometric_interpretation(photometric):
    deep = FULL_RANGE.astype(np.uint16) * 16
    stored = 4080 - deep if photometric == "MONOCHROME1" else deep
    data = dicom_file(stored, PhotometricInterpretation=photometric, BitsStored=12, HighBit=11)
    assert np.abs(pixels_of(data).astype(int) - FULL_RANGE).max() <= 1


FAINT = (50 + FULL_RANGE.astype(int) * 100 // 255).astype(np.uint8)  # 50 to 150, far from filling the display


def test_the_window_is_applied():
    pixels = pixels_of(dicom_file(FULL_RANGE, WindowCenter=100, WindowWidth=50))
    assert np.all(pixels[FULL_RANGE <= 74] == 0)
    assert np.all(pixels[FULL_RANGE >= 126] == 255)
    between = pixels[FULL_RANGE == 100]
    assert between.size and np.all((between > 110) & (between < 145))


def test_a_window_wider_than_the_film_leaves_the_film_faint():
    pixels = pixels_of(dicom_file(FAINT, WindowCenter=128, WindowWidth=256))
    assert np.array_equal(pixels, FAINT)


def test_without_a_window_the_range_present_is_shown():
    pixels = pixels_of(dicom_file(FAINT))
    assert (pixels.min(), pixels.max()) == (0, 255)


def test_a_voi_lut_is_shown_by_its_own_output_range():
    table = np.arange(256, dtype="<u2") * 16  # 12 bit
    plain = pixels_of(dicom_file(FAINT, VOILUTSequence=lut_sequence([256, 0, 12], table)))
    assert np.array_equal(plain, np.floor(table[FAINT] * (255 / 4095) + 0.5))
    inverted = Radiograph.from_bytes(
        dicom_file(FAINT, PhotometricInterpretation="MONOCHROME1", VOILUTSequence=lut_sequence([256, 0, 12], table))
    )
    assert np.array_equal(inverted.pixels, 255 - plain)


def test_a_voi_lut_goes_before_a_window():
    data = dicom_file(
        FAINT, VOILUTSequence=lut_sequence([256, 0, 8], np.arange(256, dtype="<u2")), WindowCenter=10, WindowWidth=2
    )
    assert np.array_equal(pixels_of(data), FAINT)


def test_a_negative_rescale_slope_is_shown_as_the_window_of_the_rescaled_values():
    data = dicom_file(FULL_RANGE, RescaleSlope=-1, RescaleIntercept=255, WindowCenter=128, WindowWidth=256)
    assert np.array_equal(pixels_of(data), 255 - FULL_RANGE)


@pytest.mark.parametrize("window", [{}, {"WindowCenter": 40, "WindowWidth": 900}], ids=["range present", "window"])
@pytest.mark.parametrize("rescale", [{}, {"RescaleSlope": 0.5, "RescaleIntercept": -7}], ids=["as stored", "rescaled"])
@pytest.mark.parametrize("signed", [False, True])
def test_a_film_is_shown_alike_whatever_the_width_of_its_samples(signed, rescale, window):
    values = FULL_RANGE.astype(np.int64) * 11 - (1400 if signed else 0)
    narrow, wide = (np.int16, np.int32) if signed else (np.uint16, np.uint32)
    by_table = pixels_of(dicom_file(values.astype(narrow), **rescale, **window))
    by_band = pixels_of(dicom_file(values.astype(wide), **rescale, **window))
    assert np.array_equal(by_table, by_band)


def test_a_modality_lut_is_applied_to_the_values_that_occur():
    modality = lut_sequence([256, 0, 16], np.arange(256, dtype="<u2")[::-1] * 100)
    assert np.array_equal(pixels_of(dicom_file(FULL_RANGE, ModalityLUTSequence=modality)), 255 - FULL_RANGE)


def test_a_rescale_slope_that_overflows_is_unreadable():
    assert_refused(dicom_file(FULL_RANGE, RescaleSlope="1e400", RescaleIntercept=0), UnreadableImage, "again")


@pytest.mark.parametrize(
    "attributes", [{}, {"WindowCenter": 500, "WindowWidth": 300}, {"RescaleSlope": 2, "RescaleIntercept": -3}]
)
def test_a_deep_film_is_not_widened_to_be_shown(attributes):
    side_px = 1000
    data = dicom_file(np.arange(side_px * side_px, dtype=np.uint16).reshape(side_px, -1), **attributes)
    stored, decoded, shown, tables = 2, 2, 1, 3  # bytes a pixel; the tables are of fixed size
    assert peak_bytes(data) < (stored + decoded + shown + tables) * side_px * side_px


def written(**texts: str) -> Radiograph:
    """A film whose window shows it as stored, but for these attributes, as a device wrote them."""
    texts = {"WindowCenter": "128", "WindowWidth": "256"} | texts
    return Radiograph.from_bytes(dicom_with_texts(FULL_RANGE, {name: text.encode("latin-1") for name, text in texts.items()}))


NO_WINDOWS = [
    ("128", "0"), ("128", "-1"), ("128", "0.5"), ("128", "wide"), ("128", "nan"), ("128", "inf"), ("128", "1e400"),
    ("128", "256;256"), ("auto", "256"), ("NaN", "256"), ("-inf", "256"), ("1.0,5", "256"), ("5 5", "9"), ("\xb5", "9"),
    ("0\\1", "0\\0"), ("1\\", "\\9"),
]  # fmt: skip
# The first valid one counts, and a decimal comma is a point.
WINDOWS = [
    ("128,0", "256"), ("128", "256,0"), ("128\\9", "256\\1"), ("x\\128", "9\\256"), ("20\\128", "0\\256"), ("\\128", "\\256"),
    ("128\\20", "256"),
]  # fmt: skip


@pytest.mark.parametrize(("center", "width"), NO_WINDOWS + WINDOWS)
def test_a_film_whose_windows_are_all_invalid_is_shown_without_one_and_says_so(center, width):
    film = written(WindowCenter=center, WindowWidth=width)
    assert np.array_equal(film.pixels, FULL_RANGE)
    is_valid = (center, width) in WINDOWS
    assert film.display_fault == ("" if is_valid else "it has no window of a centre and a width of at least 1")


def test_a_rescale_slope_of_0_is_not_applied_and_said_to_be_none():
    film = Radiograph.from_bytes(dicom_file(FULL_RANGE, RescaleSlope=0, RescaleIntercept=7, WindowCenter=128, WindowWidth=256))
    assert np.array_equal(film.pixels, FULL_RANGE)
    assert film.display_fault == "its rescale slope is 0"


@pytest.mark.parametrize("value", ["one", "nan", "inf", "1e400", "1.5.2"])
@pytest.mark.parametrize("keyword", ["RescaleSlope", "RescaleIntercept"])
def test_a_rescaling_that_cannot_be_read_is_refused_since_it_may_turn_black_to_white(keyword, value):
    with pytest.raises(UnreadableImage, match="rescale slope or intercept"):
        written(**{keyword: value})


def test_a_rescaling_with_a_decimal_comma_is_read():
    film = written(RescaleSlope="0,5", RescaleIntercept="10", WindowCenter="74", WindowWidth="128")
    assert np.abs(film.pixels.astype(int) - FULL_RANGE).max() <= 1


# PS3.5 7.4.5: an attribute without a value means what its absence means.
EMPTY_MEANS_ABSENT = (
    "RescaleSlope", "RescaleIntercept", "RescaleType", "VOILUTFunction", "NumberOfFrames", "PixelPaddingValue",
    "PixelPaddingRangeLimit", "HighBit", "BitsStored", "SamplesPerPixel", "PixelRepresentation", "VOILUTSequence",
    "ModalityLUTSequence",
)  # fmt: skip


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
    film = Radiograph.from_bytes(dicom_bytes(dataset, syntax))
    assert np.array_equal(film.pixels, FULL_RANGE)
    assert film.display_fault == ""


@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda syntax: syntax.name)
@pytest.mark.parametrize("keywords", [("WindowCenter",), ("WindowWidth",), ("WindowCenter", "WindowWidth")])
@pytest.mark.parametrize("is_absent", [False, True])
def test_an_empty_or_absent_window_is_none_and_no_fault(syntax, keywords, is_absent):
    dataset = dicom_dataset(FULL_RANGE, WindowCenter=9, WindowWidth=3)
    for keyword in keywords:
        dataset.add_new(keyword, "DS", None)
        if is_absent:
            delattr(dataset, keyword)
    film = Radiograph.from_bytes(dicom_bytes(dataset, syntax))
    assert np.array_equal(film.pixels, FULL_RANGE)
    assert film.display_fault == ""


def test_the_other_half_of_a_rescaling_is_1_or_0():
    half = dicom_file(FULL_RANGE, RescaleIntercept=-100, WindowCenter=28, WindowWidth=256)
    assert np.array_equal(pixels_of(half), FULL_RANGE)
    half = dicom_file(FULL_RANGE, RescaleSlope=2, WindowCenter=255, WindowWidth=511)
    assert np.abs(pixels_of(half).astype(int) - FULL_RANGE).max() <= 1


def test_the_window_is_in_rescaled_units():
    plain = dicom_file(FULL_RANGE, WindowCenter=100, WindowWidth=50)
    rescaled = dicom_file(FULL_RANGE, RescaleSlope=2, RescaleIntercept=-1000, WindowCenter=-800, WindowWidth=100)
    difference = pixels_of(plain).astype(int) - pixels_of(rescaled)
    assert np.abs(difference).max() <= 4


def test_a_uniform_film_is_black_not_an_error():
    assert pixels_of(dicom_file(np.full((120, 120), 7, np.uint8))).max() == 0
