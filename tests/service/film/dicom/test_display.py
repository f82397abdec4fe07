"""Modality LUT, VOI LUT and window of a DICOM film, through the whole decoder."""

import numpy as np
import pytest
from pydicom.datadict import dictionary_VR
from pydicom.uid import JPEG2000Lossless, RLELossless

from service.film.errors import UnreadableImage
from service.film.film import Radiograph
from tests.support.encoded_films import (
    SYNTAXES,
    dicom_bytes,
    dicom_dataset,
    dicom_file,
    dicom_with_texts,
    film,
    lut_sequence,
    peak_bytes,
    pixels_of,
)

FULL_RANGE = film()
FULL_RANGE[0, :2] = 0, 255  # so that showing the range present changes nothing
DEEP = FULL_RANGE.astype(np.uint16) * 16
FAINT = (50 + FULL_RANGE.astype(int) * 100 // 255).astype(np.uint8)  # 50 to 150, far from filling the display
UNIFORM = np.full((120, 120), 7, np.uint8)
RAMP = np.arange(256, dtype="<u2")
TWELVE = {"BitsStored": 12, "HighBit": 11}
NEGATIVE = {"PhotometricInterpretation": "MONOCHROME1"}
WHOLE = {"WindowCenter": 128, "WindowWidth": 256}  # shows values of 8 bits as they are
VOI_LUT = {"VOILUTSequence": lut_sequence([256, 0, 12], RAMP * 16)}


def to_8_bit(share: np.ndarray) -> np.ndarray:
    return np.floor(np.clip(share, 0, 1) * 255 + 0.5)


# What is stored, the attributes beside it, and what is shown.
SHOWN = {
    "negative": (255 - FULL_RANGE, NEGATIVE, FULL_RANGE),
    "deep": (DEEP, TWELVE, FULL_RANGE),
    "deep negative": (4080 - DEEP, TWELVE | NEGATIVE, FULL_RANGE),
    "the range present": (FAINT, {}, np.floor((FAINT - 50) * 2.55 + 0.5)),
    "one value, in black": (UNIFORM, {}, UNIFORM * 0),
    "window": (FULL_RANGE, {"WindowCenter": 100, "WindowWidth": 50}, to_8_bit((FULL_RANGE - 99.5) / 49 + 0.5)),
    "window wider than the film": (FAINT, WHOLE, FAINT),
    "a centre alone is no window": (FULL_RANGE, {"WindowCenter": 9}, FULL_RANGE),
    "a width alone is no window": (FULL_RANGE, {"WindowWidth": 3}, FULL_RANGE),
    "a VOI LUT's own output range": (FAINT, VOI_LUT, to_8_bit(FAINT * 16.0 / 4095)),
    "negative through a VOI LUT": (FAINT, VOI_LUT | NEGATIVE, 255 - to_8_bit(FAINT * 16.0 / 4095)),
    "a VOI LUT before a window": (FAINT, VOI_LUT | {"WindowCenter": 10, "WindowWidth": 2}, to_8_bit(FAINT * 16.0 / 4095)),
    "modality LUT": (FULL_RANGE, {"ModalityLUTSequence": lut_sequence([256, 0, 16], RAMP[::-1] * 100)}, 255 - FULL_RANGE),
    "negative slope": (FULL_RANGE, WHOLE | {"RescaleSlope": -1, "RescaleIntercept": 255}, 255 - FULL_RANGE),
    "slope without intercept": (FULL_RANGE, {"RescaleSlope": 2, "WindowCenter": 255, "WindowWidth": 511}, FULL_RANGE),
    "intercept without slope": (FULL_RANGE, {"RescaleIntercept": -100, "WindowCenter": 28, "WindowWidth": 256}, FULL_RANGE),
    "window in rescaled units": (
        FULL_RANGE,
        {"RescaleSlope": 2, "RescaleIntercept": -1000, "WindowCenter": -800, "WindowWidth": 100},
        to_8_bit((FULL_RANGE * 2.0 - 1000 + 800.5) / 99 + 0.5),
    ),
}


@pytest.mark.parametrize("name", SHOWN)
def test_a_film_is_shown_as_its_header_says(name):
    stored, attributes, expected = SHOWN[name]
    radiograph = Radiograph.from_bytes(dicom_file(stored, **attributes))
    assert np.array_equal(radiograph.pixels, expected)
    assert radiograph.display_fault == ""


@pytest.mark.parametrize("window", [{}, {"WindowCenter": 40, "WindowWidth": 900}], ids=["range present", "window"])
@pytest.mark.parametrize("rescale", [{}, {"RescaleSlope": 0.5, "RescaleIntercept": -7}], ids=["as stored", "rescaled"])
@pytest.mark.parametrize("signed", [False, True])
def test_a_film_is_shown_alike_whatever_the_width_of_its_samples(signed, rescale, window):
    values = FULL_RANGE.astype(np.int64) * 11 - (1400 if signed else 0)
    narrow, wide = (np.int16, np.int32) if signed else (np.uint16, np.uint32)
    by_table = pixels_of(dicom_file(values.astype(narrow), **rescale, **window))
    by_band = pixels_of(dicom_file(values.astype(wide), **rescale, **window))
    assert np.array_equal(by_table, by_band)


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


NO_WINDOW = "it has no window of a centre and a width of at least 1"
FAULTS = [({"WindowCenter": center, "WindowWidth": width}, NO_WINDOW) for center, width in NO_WINDOWS]
FAULTS += [({"WindowCenter": center, "WindowWidth": width}, "") for center, width in WINDOWS]
FAULTS += [({"RescaleSlope": "1,0", "RescaleIntercept": "0,0"}, "")]
FAULTS += [({"RescaleSlope": "0", "RescaleIntercept": "7"}, "its rescale slope is 0")]


@pytest.mark.parametrize(("texts", "fault"), FAULTS)
def test_a_window_or_slope_that_is_none_is_left_out_and_said_to_be(texts, fault):
    film = written(**texts)
    assert np.array_equal(film.pixels, FULL_RANGE)
    assert film.display_fault == fault


@pytest.mark.parametrize("value", ["one", "nan", "inf", "1e400", "1.5.2"])
@pytest.mark.parametrize("keyword", ["RescaleSlope", "RescaleIntercept"])
def test_a_rescaling_that_cannot_be_read_is_refused_since_it_may_turn_black_to_white(keyword, value):
    with pytest.raises(UnreadableImage, match="rescale slope or intercept"):
        written(**{keyword: value})


# PS3.5 7.4.5: an attribute without a value means what its absence means.
EMPTY_MEANS_ABSENT = (
    "RescaleSlope", "RescaleIntercept", "RescaleType", "VOILUTFunction", "NumberOfFrames", "PixelPaddingValue",
    "PixelPaddingRangeLimit", "HighBit", "BitsStored", "SamplesPerPixel", "PixelRepresentation", "VOILUTSequence",
    "ModalityLUTSequence", "WindowCenter", "WindowWidth",
)  # fmt: skip


@pytest.mark.parametrize("syntax", [*SYNTAXES, JPEG2000Lossless, RLELossless], ids=lambda syntax: syntax.name)
@pytest.mark.parametrize(
    "keywords", [*((each,) for each in EMPTY_MEANS_ABSENT), EMPTY_MEANS_ABSENT], ids=lambda names: names[0]
)
def test_an_empty_attribute_is_an_absent_one(syntax, keywords):
    dataset = dicom_dataset(FULL_RANGE, **WHOLE)
    if syntax.is_compressed:
        dataset.compress(syntax, encoding_plugin="pydicom" if syntax == RLELossless else "")
    for keyword in keywords:
        dataset.add_new(keyword, dictionary_VR(keyword).partition(" or ")[0], None)
    film = Radiograph.from_bytes(dicom_bytes(dataset, syntax))
    assert np.array_equal(film.pixels, FULL_RANGE)
    assert film.display_fault == ""
