"""Signs and depths of compressed frames: which values a codec's samples stand for, through the whole decoder."""

import imagecodecs
import numpy as np
import pytest
from pydicom import uid

from service.film.dicom.frame import CODEC_OF
from service.film.errors import UnsupportedDicom
from tests.support.compressed_dicom import compressed_dicom, frame_of, jpeg_2000, with_frame
from tests.support.encoded_films import assert_refused, dicom_dataset, dicom_file, film, pixels_of

FILM = film()
DEEP = FILM.astype(np.uint16) * 16  # 12 bit
TWELVE = {"BitsStored": 12, "HighBit": 11}


def jpeg_lossless(words: np.ndarray, bits: int) -> bytes:
    return imagecodecs.jpeg8_encode(words, lossless=True, predictor=1, bitspersample=bits)


@pytest.mark.parametrize(
    "syntax",
    [uid.JPEG2000Lossless, uid.JPEGLSLossless, uid.JPEGLosslessSV1, uid.RLELossless],
    ids=lambda syntax: syntax.name,
)
@pytest.mark.parametrize("bits", [10, 12, 13, 14, 15, 16])
@pytest.mark.parametrize("kind", [np.uint16, np.int16])
def test_values_of_every_depth_keep_their_sign(syntax, bits, kind):
    lowest = 0 if kind is np.uint16 else -(1 << (bits - 1))
    stored = (FILM.astype(int) * ((1 << bits) - 1) // 255 + lowest).astype(kind)
    attributes = {"BitsStored": bits, "HighBit": bits - 1, "WindowCenter": lowest + (1 << (bits - 1)), "WindowWidth": 1 << bits}
    if syntax == uid.JPEGLosslessSV1:
        frame = jpeg_lossless(stored.view(np.uint16) & ((1 << bits) - 1), bits)
        data = with_frame(dicom_dataset(stored, **attributes), syntax, frame)
    else:
        data = compressed_dicom(stored, syntax, **attributes)
    plain = pixels_of(dicom_file(stored, **attributes))
    assert np.array_equal(pixels_of(data), plain)
    assert 0 < plain.mean() < 255


def windowed(bits: int, **attributes) -> dict[str, object]:
    """Attributes of a film whose window is all that its bits hold."""
    middle = 0 if attributes.get("PixelRepresentation") else 1 << (bits - 1)
    window = {"WindowCenter": middle, "WindowWidth": 1 << bits, "VOILUTFunction": "LINEAR_EXACT"}
    return {"BitsAllocated": 16, "BitsStored": bits, "HighBit": bits - 1, **window, **attributes}


def saturated(bits: int) -> np.ndarray:
    """A film whose air is at the largest value that so many bits hold, as in MONOCHROME1."""
    return np.where(FILM < 60, (1 << bits) - 1, FILM.astype(int) * ((1 << bits) - 1) // 300).astype(np.uint16)


LOSSY_FRAMES = {
    "JPEG Extended": (uid.JPEGExtended12Bit, lambda deep: imagecodecs.jpeg8_encode(deep, level=70, bitspersample=12)),
    "JPEG 2000": (uid.JPEG2000, lambda deep: imagecodecs.jpeg2k_encode(deep, level=66, codecformat="j2k", bitspersample=16)),
    "HTJ2K": (uid.HTJ2K, lambda deep: imagecodecs.htj2k_encode(deep, level=0.001, reversible=False)),
    "JPEG-LS": (uid.JPEGLSNearLossless, lambda deep: near_lossless(deep, 16)),
}


def near_lossless(deep: np.ndarray, bits: int) -> bytes:
    """JPEG-LS of that precision with values up to 20 beside those given, as its coder's own error may be."""
    noise = np.random.default_rng(5).integers(-20, 21, deep.shape)
    return jpeg_ls((np.clip(deep.astype(int) + noise, 0, None)).astype(np.uint16), bits)


def jpeg_ls(pixels: np.ndarray, bits: int) -> bytes:
    return frame_of(compressed_dicom(pixels, uid.JPEGLSLossless, BitsStored=bits, HighBit=bits - 1))


# Values, and the words that hold them, as lossless frames of so many bits.
LOSSLESS_FRAMES = {
    "JPEG 2000": (uid.JPEG2000Lossless, lambda values, _, bits: jpeg_2000(values, bits=bits)),
    "JPEG-LS": (uid.JPEGLSLossless, lambda _, words, bits: jpeg_ls(words, bits)),
    "JPEG lossless": (uid.JPEGLosslessSV1, lambda _, words, bits: jpeg_lossless(words, bits)),
}


# PS3.5 8.1.1 and 8.2.1: what a codec gives is the value itself. A value over the range is noise of the codec, and no overlay.
@pytest.mark.parametrize("bits", [9, 10, 11])
@pytest.mark.parametrize("name", LOSSY_FRAMES)
@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_a_lossy_codecs_values_beyond_the_stored_bits_are_clipped(name, bits, photometric):
    syntax, encode = LOSSY_FRAMES[name]
    stored = saturated(bits)
    frame = encode(stored)
    decoded = getattr(imagecodecs, CODEC_OF[syntax])(frame)
    assert decoded.max() >= 1 << bits, "the frame shows nothing if no value runs over"
    attributes = windowed(bits, PhotometricInterpretation=photometric)
    expected = np.clip(decoded, 0, (1 << bits) - 1) * (255 / (1 << bits))
    shown = pixels_of(with_frame(dicom_dataset(stored, **attributes), syntax, frame))
    assert np.abs(shown - (255 - expected if photometric == "MONOCHROME1" else expected)).max() <= 1


@pytest.mark.parametrize("bits", [9, 10, 12])
def test_signed_values_beyond_the_stored_bits_are_clipped_at_both_ends(bits):
    half = 1 << (bits - 1)
    stored = np.where(FILM < 60, -half, np.where(FILM > 180, half - 1, FILM.astype(int) - 100)).astype(np.int16)
    frame = imagecodecs.jpeg2k_encode(stored, level=66, codecformat="j2k", bitspersample=16)
    decoded = imagecodecs.jpeg2k_decode(frame)
    assert decoded.min() < -half and decoded.max() >= half
    data = with_frame(dicom_dataset(stored, **windowed(bits, PixelRepresentation=1)), uid.JPEG2000, frame)
    expected = (np.clip(decoded, -half, half - 1) + half) * (255 / (1 << bits))
    assert np.abs(pixels_of(data) - expected).max() <= 1


@pytest.mark.parametrize("kind", [np.uint16, np.int16])
@pytest.mark.parametrize("name", LOSSLESS_FRAMES)
def test_values_that_the_stored_bits_do_not_hold_at_all_are_refused(name, kind):
    """A header of 12 bits over a film of 16: neither clipped to a white film nor wrapped round."""
    deep = (FILM.astype(int) * 250 - (30000 if kind is np.int16 else 0)).astype(kind)
    syntax, encode = LOSSLESS_FRAMES[name]
    frame = encode(deep, deep.view(np.uint16), 16)
    assert_refused(with_frame(dicom_dataset(deep, **TWELVE), syntax, frame), UnsupportedDicom, "12 bits for them")


@pytest.mark.parametrize("name", LOSSLESS_FRAMES)
@pytest.mark.parametrize("kind", [np.uint16, np.int16])
@pytest.mark.parametrize("is_extended", [False, True])
def test_a_frame_of_more_bits_than_are_stored_is_read_where_its_values_fit(name, kind, is_extended):
    """Signed values of 12 bits in a frame of 16, whose coder extended the sign or did not."""
    stored = (FILM.astype(int) * 16 - (2048 if kind is np.int16 else 0)).astype(kind)
    words = stored.view(np.uint16) if is_extended else stored.view(np.uint16) & 0x0FFF
    syntax, encode = LOSSLESS_FRAMES[name]
    frame = encode(stored, words, 16)
    plain = pixels_of(dicom_file(stored, **TWELVE))
    assert np.array_equal(pixels_of(with_frame(dicom_dataset(stored, **TWELVE), syntax, frame)), plain)


@pytest.mark.parametrize("name", LOSSLESS_FRAMES)
@pytest.mark.parametrize("kind", [np.uint16, np.int16])
def test_a_frame_of_8_bits_under_a_header_of_more_has_the_values_that_it_says(name, kind):
    syntax, encode = LOSSLESS_FRAMES[name]
    dataset = dicom_dataset(FILM.astype(kind), WindowCenter=128, WindowWidth=256, **TWELVE)
    assert np.array_equal(pixels_of(with_frame(dataset, syntax, encode(FILM, FILM, 8))), FILM)


CONTRADICTIONS = {
    "signed frame, unsigned header": (DEEP.astype(np.int16) - 2048, np.uint16),
    "unsigned frame, signed header": (DEEP, np.int16),
}


# T.800 A.5.1 has the sign in Ssiz. Where that is not Pixel Representation's, a value with the highest bit has two readings.
@pytest.mark.parametrize("name", CONTRADICTIONS)
@pytest.mark.parametrize("syntax", [uid.JPEG2000Lossless, uid.JPEG2000, uid.HTJ2KLossless, uid.HTJ2K])
def test_values_to_which_frame_and_header_give_different_signs_are_refused(name, syntax):
    pixels, kind = CONTRADICTIONS[name]
    assert_refused(
        with_frame(dicom_dataset(pixels.astype(kind), **TWELVE), syntax, jpeg_2000(pixels)),
        UnsupportedDicom,
        "Pixel Representation says the opposite",
    )


@pytest.mark.parametrize("kind", [np.uint16, np.int16])
def test_values_that_have_the_same_sign_by_frame_and_header_are_read(kind):
    pixels = FILM.astype(np.int16 if kind is np.uint16 else np.uint16) * 8
    attributes = {**TWELVE, "WindowCenter": 1000, "WindowWidth": 2000}
    plain = pixels_of(dicom_file(pixels.astype(kind), **attributes))
    data = with_frame(dicom_dataset(pixels.astype(kind), **attributes), uid.JPEG2000Lossless, jpeg_2000(pixels))
    assert np.array_equal(pixels_of(data), plain)
