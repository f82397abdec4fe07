import struct

import numpy as np
import pytest

from service.contract import png
from service.contract.errors import UnreadableImage, UnsupportedImage
from service.contract.radiograph import Radiograph
from tests.encoded_films import encode, film, png_16_bit, png_claiming, png_of_chunks

DEEP = film().astype(np.uint16) * 257
COLOUR = png_16_bit(np.dstack([DEEP] * 3))


def test_chunks_up_to_the_limit_are_read_and_no_more():
    others = 3  # header, pixels and end
    assert Radiograph.from_bytes(png_of_chunks(png.MAX_CHUNKS - others)).pixels.shape == (100, 100)
    with pytest.raises(UnsupportedImage, match="50000 chunks"):
        Radiograph.from_bytes(png_of_chunks(png.MAX_CHUNKS - others + 1))


def test_only_16_bit_samples_with_colour_or_alpha_are_deep_colour():
    assert png.has_deep_colour(COLOUR)
    assert png.has_deep_colour(png_16_bit(np.dstack([DEEP, DEEP])))
    assert not png.has_deep_colour(png_16_bit(DEEP))
    assert not png.has_deep_colour(encode(np.dstack([film()] * 3), "PNG"))


def test_a_second_header_of_another_size_is_refused_before_decoding():
    end_of_header = 33
    bomb = png_claiming(30_000, 30_000)[:24] + COLOUR[24:26] + bytes(7) + COLOUR[8:]
    assert struct.unpack_from(">I4s", bomb, end_of_header) == (13, b"IHDR")
    with pytest.raises(UnreadableImage, match="more than one header"):
        png.decode_deep_colour(bomb, 256, 256)


def test_nothing_but_the_pixels_decides_on_the_grey_values():
    colour = np.random.default_rng(2).integers(0, 1 << 16, (120, 130, 3), dtype=np.uint16)
    plain = png.decode_deep_colour(png_16_bit(colour), 130, 120)
    gamma, transparent = (b"gAMA", struct.pack(">I", 20_000)), (b"tRNS", struct.pack(">HHH", *map(int, colour[9, 9])))
    animation = (b"acTL", struct.pack(">II", 1, 0)), (b"fcTL", struct.pack(">IIIIIHHBB", 0, 64, 64, 32, 32, 1, 1, 0, 0))
    for chunks in ((gamma,), (transparent,), animation):
        assert np.array_equal(png.decode_deep_colour(png_16_bit(colour, *chunks), 130, 120), plain)


def test_the_decoder_has_no_text_of_the_file_to_put_into_the_log(capfd):
    png.decode_deep_colour(png_16_bit(np.dstack([DEEP] * 3), (b"iCCP", b"name\0\0")), 256, 256)
    assert capfd.readouterr().err == ""


def test_samples_that_cannot_be_decoded_are_unreadable():
    with pytest.raises(UnreadableImage, match="16-bit colour samples"):
        png.decode_deep_colour(COLOUR[:2000], 256, 256)
