"""JPEG of every process and depth, whole and cut off."""

import re
import struct

import imagecodecs
import numpy as np
import pytest

from service.film.errors import UnreadableImage, UnsupportedImage
from service.film.film import Radiograph
from tests.support.encoded_films import assert_refused, encode, film, pixels_of

FILM = film(600)
DEEP = FILM.astype(np.uint16) * 257
COLOUR = np.dstack([FILM, FILM[::-1], FILM.T])
END = b"\xff\xd9"


def of_depth(bits: int, pixels: np.ndarray = DEEP) -> np.ndarray:
    return (pixels >> (16 - bits)).astype(np.uint8 if bits <= 8 else np.uint16)


def lossless(bits: int, predictor: int = 1) -> bytes:
    return imagecodecs.jpeg8_encode(of_depth(bits), lossless=True, bitspersample=bits, predictor=predictor)


def lossy_12_bit() -> bytes:
    return imagecodecs.jpeg8_encode(of_depth(12), level=97, bitspersample=12)


@pytest.mark.parametrize("decode_side_px", [None, 256])
@pytest.mark.parametrize("predictor", range(1, 8))
def test_a_lossless_film_is_read_whatever_its_predictor(predictor, decode_side_px):
    # ITU-T T.81, H.1.2.1. libjpeg decodes such a film at full scale only, and else breaks off.
    data = lossless(8, predictor)
    assert np.array_equal(pixels_of(data, decode_side_px=decode_side_px), FILM)


@pytest.mark.parametrize("bits", [2, 4, 7, 9, 10, 12, 14, 16])
def test_lossless_samples_of_every_depth_are_scaled_by_the_depth_that_the_header_says(bits):
    radiograph = Radiograph.from_bytes(lossless(bits, predictor=4), decode_side_px=256)
    largest = (1 << bits) - 1
    assert np.abs(radiograph.pixels - of_depth(bits) * 255.0 / largest).max() <= 0.5
    assert (radiograph.format, radiograph.width_px, radiograph.height_px) == ("jpeg", 600, 600)


def test_a_faint_film_of_12_bits_stays_faint():
    faint = of_depth(12) // 8
    data = imagecodecs.jpeg8_encode(faint, lossless=True, bitspersample=12)
    assert np.abs(pixels_of(data) - faint * 255.0 / 4095).max() <= 0.5


def test_12_bits_in_a_film_of_16_are_not_rendered_black():
    data = imagecodecs.jpeg8_encode(of_depth(12), lossless=True, bitspersample=16)
    assert np.abs(pixels_of(data).astype(int) - FILM).max() <= 1


def test_a_lossy_film_of_12_bits_is_read():
    assert np.abs(pixels_of(lossy_12_bit(), decode_side_px=256).astype(int) - FILM).mean() < 1


@pytest.mark.parametrize("bits", [8, 12])
def test_lossless_colour_is_weighted_as_that_of_a_png_is(bits):
    data = imagecodecs.jpeg8_encode(of_depth(bits, COLOUR.astype(np.uint16) * 257), lossless=True, bitspersample=bits)
    read, expected = Radiograph.from_bytes(data), Radiograph.from_bytes(encode(COLOUR, "PNG"))
    assert np.abs(read.pixels.astype(int) - expected.pixels).max() <= 1
    assert read.mean_chroma == pytest.approx(expected.mean_chroma, abs=1)


WHOLE = {
    "baseline": encode(FILM, "JPEG", quality=92),
    "optimised": encode(FILM, "JPEG", quality=92, optimize=True),
    "colour": encode(COLOUR, "JPEG", quality=92),
    "stored as RGB": encode(COLOUR, "JPEG", quality=92, keep_rgb=True),
    "restarts": encode(FILM, "JPEG", quality=92, restart_marker_rows=1),
    "lossless": lossless(8),
    "lossless of 12 bits": lossless(12),
    "lossy of 12 bits": lossy_12_bit(),
}


@pytest.mark.parametrize("decode_side_px", [None, 256])
@pytest.mark.parametrize("name", WHOLE)
def test_coded_data_that_end_early_are_damage_even_before_an_end_marker(name, decode_side_px):
    # libjpeg fills the rest with grey, and warns where nobody hears it.
    data = WHOLE[name]
    Radiograph.from_bytes(data, decode_side_px=decode_side_px)
    for kept in (0.3, 0.6, 0.95):
        cut = data[: int(len(data) * kept)]
        for ended in (cut, cut + END):
            assert_refused(ended, UnreadableImage, "again", decode_side_px=decode_side_px)


# ITU-T T.81, E.2.4: where a restart marker should stand, decoders skip everything else, and go on without a word.
@pytest.mark.parametrize("decode_side_px", [None, 256])
@pytest.mark.parametrize(
    "restart", [{"restart_marker_blocks": 1}, {"restart_marker_blocks": 9}, {"restart_marker_rows": 1}], ids=str
)
@pytest.mark.parametrize("pixels", [FILM, COLOUR], ids=["grey", "colour"])
def test_coded_data_that_end_at_a_restart_are_damage(pixels, restart, decode_side_px):
    data = encode(pixels, "JPEG", quality=90, **restart)
    Radiograph.from_bytes(data, decode_side_px=decode_side_px)
    restarts = [found.start() for found in re.finditer(rb"\xff[\xd0-\xd7]", data) if found.start() > data.index(b"\xff\xda")]
    for share in (0, 0.3, 0.5, 0.9):
        marker = restarts[int(share * len(restarts))]
        for end in (marker, marker + 2):
            assert_refused(data[:end] + END, UnreadableImage, "coded data end before", decode_side_px=decode_side_px)


@pytest.mark.parametrize("kept", [0.1, 0.3, 0.5])
def test_a_progressive_film_that_ends_between_two_scans_is_damage(kept):
    data = encode(FILM, "JPEG", quality=92, progressive=True)
    assert_refused(data[: int(len(data) * kept)] + END, UnreadableImage, "last of its scans")


@pytest.mark.parametrize("grey", [127, 128])
def test_a_film_that_ends_in_mid_grey_is_whole(grey):
    plain = np.full((200, 200), grey, np.uint8)
    for data in (encode(plain, "JPEG"), encode(plain, "JPEG", progressive=True)):
        assert np.abs(pixels_of(data, decode_side_px=100).astype(int) - grey).max() <= 1


def with_frame(bits: int, height: int, components: int) -> bytes:
    """The baseline film with another frame header."""
    data = WHOLE["baseline"]
    header = data.index(b"\xff\xc0")
    body = struct.pack(">BHHB", bits, height, 600, components) + b"".join(
        bytes((number, 0x11, 0)) for number in range(components)
    )
    return data[:header] + b"\xff\xc0" + struct.pack(">H", len(body) + 2) + body + data[header + 13 :]


def test_a_deep_film_that_the_codec_cannot_decode_is_damage():
    data = bytearray(lossless(12))
    table = data.index(b"\xff\xc4")
    data[table + 5 : table + 21] = b"\xff" * 16
    assert_refused(bytes(data), UnreadableImage, "damaged")


PROCESSES = {0xC5: "hierarchical", 0xC7: "hierarchical", 0xCD: "hierarchical", 0xDE: "hierarchical", 0xCB: "arithmetic coding"}
UNREAD = [(name, WHOLE["baseline"].replace(b"\xff\xc0", bytes((0xFF, marker)))) for marker, name in PROCESSES.items()]
UNREAD += [("2 components of 8 bits", with_frame(8, 600, 2)), ("4 components of 12 bits", with_frame(12, 600, 4))]
UNREAD += [("does not say its height", with_frame(8, 0, 1))]


@pytest.mark.parametrize(("name", "data"), UNREAD)
def test_an_intact_film_that_is_not_read_is_named_and_not_called_damaged(name, data):
    assert_refused(data, UnsupportedImage, name)
