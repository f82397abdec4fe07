"""BMP of the kinds that are seldom written."""

import struct

import numpy as np
import pytest

from service.film.errors import UnreadableImage, UnsupportedImage
from service.film.film import open_film
from service.film.limits import DecodeLimits
from tests.support.encoded_films import assert_refused, encode, film, pixels_of

FILM = film()
GREYS = b"".join(bytes((grey, grey, grey, 0)) for grey in range(256))


def bmp(data: bytes, bits: int, compression: int = 0, between: bytes = b"", header_bytes: int = 40, colours: int = 0) -> bytes:
    """A BMP of FILM's size. between: masks or a palette."""
    header = struct.pack("<iiHHIIiiII", 256, 256, 1, bits, compression, len(data), 0, 0, colours, 0)
    header = struct.pack("<I", header_bytes) + header.ljust(header_bytes - 4, b"\0")[: header_bytes - 4]
    start = 14 + len(header) + len(between)
    return b"BM" + struct.pack("<IHHI", start + len(data), 0, 0, start) + header + between + data


def run_lengths(rows: np.ndarray) -> bytes:
    """Each pixel a run of one, each row ended, the last row first."""
    return b"".join(b"".join(b"\1" + bytes((grey,)) for grey in row) + b"\0\0" for row in rows[::-1].tolist()) + b"\0\1"


def test_run_lengths_are_read_and_kept_out_of_the_servers_own_process():
    data = bmp(run_lengths(FILM), 8, 1, GREYS)
    assert np.array_equal(pixels_of(data), FILM)
    assert open_film(data, DecodeLimits()).is_costly
    assert not open_film(encode(FILM, "BMP"), DecodeLimits()).is_costly


def test_run_lengths_that_end_early_are_damage():
    assert_refused(bmp(run_lengths(FILM[:128]), 8, 1, GREYS), UnreadableImage, "again")


@pytest.mark.parametrize(("bits", "masks"), [(16, (0xF800, 0x07E0, 0x001F)), (32, (0xFF0000, 0xFF00, 0xFF))])
def test_the_usual_bit_fields_are_read(bits, masks):
    grey = FILM.astype(np.uint32)
    pixels = sum(((grey * (mask // (mask & -mask)) // 255) * (mask & -mask)) for mask in masks)
    data = bmp(pixels[::-1].astype(f"<u{bits // 8}").tobytes(), bits, 3, struct.pack("<III", *masks))
    assert np.abs(pixels_of(data).astype(int) - FILM).max() <= 8


UNREAD = {
    "bit fields of an unusual order": bmp(bytes(2 * FILM.size), 16, 3, struct.pack("<III", 0xF00, 0xF0, 0xF)),
    "JPEG": bmp(encode(FILM, "JPEG"), 0, 4),
    "PNG": bmp(encode(FILM, "PNG"), 0, 5),
    "bit fields with alpha": bmp(bytes(4 * FILM.size), 32, 6, struct.pack("<IIII", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)),
    "2 bits": bmp(bytes(FILM.size // 4), 2, 0, GREYS[:16]),
    "64 bits": bmp(bytes(8 * FILM.size), 64),
    "palette of 300 colours": bmp(FILM.tobytes(), 8, 0, GREYS + bytes(176), colours=300),
    "OS/2: header of 16 bytes": bmp(FILM.tobytes(), 8, 0, GREYS, header_bytes=16),
    "OS/2: Huffman codes": bmp(bytes(1000), 1, 3, GREYS[:8], header_bytes=64),
    "OS/2: 24-bit run lengths": bmp(bytes(1000), 24, 4, header_bytes=64),
}


@pytest.mark.parametrize("name", UNREAD)
def test_an_intact_film_that_is_not_read_is_not_called_damaged(name):
    assert_refused(UNREAD[name], UnsupportedImage, "kind that is not read")


@pytest.mark.parametrize(
    "data", [bmp(bytes(FILM.size), 7), bmp(bytes(FILM.size), 8, 77, GREYS), bmp(FILM.tobytes(), 8, header_bytes=80)]
)
def test_a_depth_compression_or_header_that_does_not_exist_is_damage(data):
    assert_refused(data, UnreadableImage, "again")


def test_text_that_begins_as_a_bmp_does_is_no_film():
    assert_refused(b"BMP files are described here. " * 10, UnreadableImage)
