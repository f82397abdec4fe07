"""How samples hold their values: padding and the position of the stored bits, through the whole decoder."""

import numpy as np
import pytest
from pydicom import uid

from service.film.errors import UnreadableImage, UnsupportedDicom
from tests.support.encoded_films import SYNTAXES, assert_refused, dicom_bytes, dicom_dataset, dicom_file, film, pixels_of

FILM = film(128)
FILM[0, :2] = 0, 255
BORDER = 20


def shown(stored, syntax, *, padding=None, limit=None, **attributes):
    """The film's pixels. padding, limit: written as SS if they are negative, else as US."""
    dataset = dicom_dataset(stored.astype(stored.dtype.newbyteorder("<" if syntax.is_little_endian else ">")), **attributes)
    for keyword, value in (("PixelPaddingValue", padding), ("PixelPaddingRangeLimit", limit)):
        if value is not None:
            dataset.add_new(keyword, "SS" if value < 0 else "US", value)
    return pixels_of(dicom_bytes(dataset, syntax))


def bordered(stored, value):
    """The film between two borders of padding."""
    padded = np.pad(stored, ((0, 0), (BORDER, BORDER)))
    padded[:, :BORDER] = padded[:, -BORDER:] = value
    return padded


CASES = {
    # kind of the samples, bits stored, factor and offset of the film, padding as stored, padding as written
    "signed 16": (np.int16, 16, 16, -1000, -2000, (-2000, 63536)),
    "signed 12": (np.int16, 12, 8, -1000, -2000, (-2000, 63536, 2096)),  # the last in 12 bits, its sign not extended
    "signed 8": (np.int8, 8, 0.5, -100, -128, (-128, 65408, 128)),
    "signed 32": (np.int32, 32, 100, -10000, -12000, (-12000, 53536)),
    "unsigned 16": (np.uint16, 16, 16, 0, 40000, (40000, -25536)),
    "unsigned 12": (np.uint16, 12, 8, 0, 4095, (4095,)),
    "unsigned 8": (np.uint8, 8, 0.5, 0, 200, (200,)),
    "unsigned 32": (np.uint32, 32, 16, 0, 40000, (40000, -25536)),
}


# PS3.3 C.7.5.1.1.2: the value is in the samples' own sign; writers choose US or SS as they like, implicit VR names neither.
@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_padding_is_black_and_told_by_the_samples_sign_whatever_its_vr(name, syntax, photometric):
    kind, bits, factor, offset, padding, writings = CASES[name]
    stored = (FILM * float(factor) + offset).astype(kind)
    attributes = {"BitsStored": bits, "HighBit": bits - 1, "PhotometricInterpretation": photometric}
    plain = shown(stored, syntax, **attributes)
    assert (plain.min(), plain.max()) == (0, 255)
    for written in writings:
        pixels = shown(bordered(stored, padding), syntax, padding=written, **attributes)
        assert np.array_equal(pixels[:, BORDER:-BORDER], plain), written
        assert pixels[:, :BORDER].max() == pixels[:, -BORDER:].max() == 0


@pytest.mark.parametrize(("value", "limit"), [(-2000, -1500), (-1500, -2000), (63536, 64036), (64036, -2000)])
def test_a_range_of_padding_is_told_by_the_samples_sign_too(syntax, value, limit):
    stored = FILM.astype(np.int16) * 16 - 1000
    padded = bordered(stored, -2000)
    padded[::2, :BORDER], padded[1::3, :BORDER] = -1700, -1500
    pixels = shown(padded, syntax, padding=value, limit=limit)
    assert np.array_equal(pixels[:, BORDER:-BORDER], shown(stored, syntax))
    assert pixels[:, :BORDER].max() == 0


@pytest.mark.parametrize("kind", [np.uint16, np.uint32])
def test_a_film_of_nothing_but_padding_is_black(kind):
    data = dicom_file(np.full((120, 120), 7, kind), PixelPaddingValue=7, PhotometricInterpretation="MONOCHROME1")
    assert pixels_of(data).max() == 0


@pytest.mark.parametrize(("kind", "offset"), [(np.uint16, 0), (np.int16, -2000)])
@pytest.mark.parametrize(("high", "overlay"), [(13, 0), (13, 1), (15, 0), (15, 1), (11, 0xF000)])
def test_values_are_read_wherever_they_lie_with_or_without_an_overlay_beside_them(syntax, kind, offset, high, overlay):
    stored = (FILM.astype(int) * 16 + offset).astype(kind)
    plain = shown(stored, uid.ExplicitVRLittleEndian, BitsStored=12, HighBit=11)
    moved = stored << (high - 11)
    moved[30:60, 30:60] |= np.array(overlay).astype(kind)  # retired PS3.5 8.1.2
    assert np.array_equal(shown(moved, syntax, BitsStored=12, HighBit=high), plain)


# Half of the signed values have one bit above those of a value at the bottom, as if it extended their sign.
@pytest.mark.parametrize(("kind", "bits"), [(np.int16, 16), (np.int8, 8)])
def test_signed_values_of_all_bits_but_one_are_read_with_an_overlay_below(syntax, kind, bits):
    stored = FILM.astype(int) * (1 << (bits - 9)) - (1 << (bits - 2)) if bits > 8 else FILM.astype(int) // 2 - 64
    plain = shown(stored.astype(kind), uid.ExplicitVRLittleEndian, BitsStored=bits - 1, HighBit=bits - 2)
    moved = (stored * 2).astype(kind)
    moved[30:60, 30:60] |= 1  # retired PS3.5 8.1.2
    assert np.array_equal(shown(moved, syntax, BitsStored=bits - 1, HighBit=bits - 1), plain)


# PS3.3 C.7.6.3.1: from BitsStored - 1 to BitsAllocated - 1. Some devices always write 15.
@pytest.mark.parametrize(("kind", "offset"), [(np.uint16, 0), (np.int16, -2048)])
@pytest.mark.parametrize("high", [0, 7, 10, 15, 16, 255])
def test_a_high_bit_that_cannot_be_is_not_believed(syntax, kind, offset, high):
    stored = (FILM.astype(int) * 16 + offset + FILM % 16).astype(kind)
    plain = shown(stored, uid.ExplicitVRLittleEndian, BitsStored=12, HighBit=11)
    assert np.array_equal(shown(stored, syntax, BitsStored=12, HighBit=high), plain)


def test_a_high_bit_that_cannot_be_over_values_that_lie_elsewhere_is_refused():
    with pytest.raises(UnsupportedDicom, match="HighBit of 16 is impossible for 12 stored bits out of 16"):
        shown(FILM.astype(np.uint16) << 8, uid.ExplicitVRLittleEndian, BitsStored=12, HighBit=16)


# Implicit VR has OW only (PS3.5 A.1).
@pytest.mark.parametrize(
    ("syntax", "vr"), [(syntax, vr) for syntax in SYNTAXES for vr in ("OB", "OW") if vr == "OW" or not syntax.is_implicit_VR]
)
@pytest.mark.parametrize("trail", [0, 1, 7, 200])
def test_pixels_may_be_followed_by_padding_whatever_their_vr(syntax, vr, trail):
    odd = FILM[:, :127]
    data = odd[:127].tobytes() + bytes(1)
    if vr == "OW" and not syntax.is_little_endian:  # swaps the bytes of a word, two samples (PS3.5 7.3)
        data = np.frombuffer(data, "<u2").byteswap().tobytes()
    dataset = dicom_dataset(odd[:127])
    dataset.add_new("PixelData", vr, data + b" " * trail)
    dataset.file_meta.TransferSyntaxUID = syntax
    expected = pixels_of(dicom_file(odd[:127]))
    assert np.array_equal(pixels_of(dicom_bytes(dataset)), expected)


def test_pixels_that_are_too_few_are_refused_by_their_number():
    data = dicom_file(FILM, PixelData=bytes(1000))
    assert_refused(data, UnreadableImage, "1000 bytes of pixels")
