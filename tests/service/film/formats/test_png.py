import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from service.film.errors import UnreadableImage, UnsupportedImage
from service.film.film import Radiograph
from service.film.formats import png
from tests.support.encoded_films import encode, film, pixels_of, png_16_bit, png_of_chunks, png_of_rows, png_rows

DEEP = film().astype(np.uint16) * 257
COLOUR = png_16_bit(np.dstack([DEEP] * 3))


def test_chunks_up_to_the_limit_are_read_and_no_more():
    others = 3  # header, pixels and end
    assert pixels_of(png_of_chunks(png.MAX_CHUNKS - others)).shape == (100, 100)
    with pytest.raises(UnsupportedImage, match="50000 chunks"):
        Radiograph.from_bytes(png_of_chunks(png.MAX_CHUNKS - others + 1))


def test_only_16_bit_samples_with_colour_or_alpha_are_deep_colour():
    assert png.has_deep_colour(COLOUR)
    assert png.has_deep_colour(png_16_bit(np.dstack([DEEP, DEEP])))
    assert not png.has_deep_colour(png_16_bit(DEEP))
    assert not png.has_deep_colour(encode(np.dstack([film()] * 3), "PNG"))


def test_a_second_header_is_refused_before_decoding():
    second = struct.pack(">IIBBBBB", 30_000, 30_000, 16, 2, 0, 0, 0)
    with pytest.raises(UnreadableImage, match="more than one header"):
        Radiograph.from_bytes(png_16_bit(np.dstack([DEEP] * 3), (b"IHDR", second)))


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


# Depth and colour type of every kind of PNG (PNG specification, 11.2.1), and its channels.
KINDS = [(1, 0, 1), (2, 0, 1), (4, 0, 1), (8, 0, 1), (16, 0, 1), (8, 2, 3), (16, 2, 3)]
KINDS += [(1, 3, 1), (4, 3, 1), (8, 3, 1), (8, 4, 2), (16, 4, 2), (8, 6, 4), (16, 6, 4)]
PALETTE = b"".join(bytes([grey] * 3) for grey in range(256))


def film_of(depth: int, channels: int) -> np.ndarray:
    small = film()[:120, :130]
    return np.dstack([(small.astype(np.uint32) * ((1 << depth) - 1) // 255).astype(np.uint16)] * channels)


def png_of(samples: np.ndarray, depth: int, colour_type: int, rows: list[bytes], *, interlaced: bool = False) -> bytes:
    palette = [(b"PLTE", PALETTE[: 3 << depth])] if colour_type == 3 else []
    return png_of_rows(130, 120, depth, colour_type, rows, *palette, interlaced=interlaced)


@pytest.mark.parametrize("interlaced", [False, True], ids=["", "interlaced"])
@pytest.mark.parametrize(("depth", "colour_type", "channels"), KINDS)
def test_pixel_data_that_end_early_are_damage_at_every_depth(depth, colour_type, channels, interlaced):
    # Pillow takes a stream that ends with a row for a whole film, and leaves the rest black.
    samples = film_of(depth, channels)
    rows = png_rows(samples, depth, interlaced=interlaced)
    assert pixels_of(png_of(samples, depth, colour_type, rows, interlaced=interlaced)).shape == (120, 130)
    for kept in (1, len(rows) // 2, len(rows) - 1):
        with pytest.raises(UnreadableImage, match="before its last row"):
            Radiograph.from_bytes(png_of(samples, depth, colour_type, rows[:kept], interlaced=interlaced))


def test_a_film_of_one_grey_value_is_whole_whichever_it_is():
    for grey in range(256):
        assert np.all(pixels_of(encode(np.full((100, 100), grey, np.uint8), "PNG")) == grey)


def test_data_behind_the_last_row_and_the_last_chunk_are_no_damage():
    rows = png_rows(film_of(8, 1), 8)
    data = png_of_rows(130, 120, 8, 0, rows + rows[:7]) + b"behind the end" * 9
    assert np.array_equal(pixels_of(data), film()[:120, :130])


# The end chunk says nothing that the pixels have not said.
@pytest.mark.parametrize("missing", [1, 4, 11, 12])
@pytest.mark.parametrize("samples", [film(), DEEP, np.dstack([DEEP] * 2), np.dstack([DEEP] * 3), np.dstack([DEEP] * 4)])
def test_a_film_without_the_last_chunk_is_whole_at_every_depth(samples, missing):
    data = encode(samples, "PNG") if samples.dtype == np.uint8 else png_16_bit(samples)
    assert np.array_equal(pixels_of(data[:-missing]), film())


def test_a_chunk_of_the_pixels_that_does_not_match_its_checksum_is_damage():
    # PNG specification, 13.2: such an error in a critical chunk is fatal.
    data = encode(film(), "PNG", compress_level=0)
    end = data.index(b"IEND") - 4
    for place in (end - 1, end // 2):
        spoilt = bytearray(data)
        spoilt[place] ^= 1
        with pytest.raises(UnreadableImage, match="again"):
            Radiograph.from_bytes(bytes(spoilt))


BIG = zlib.compress(bytes(2 * png.MAX_TEXT_BYTES))


@pytest.mark.parametrize(
    "chunk",
    [
        (b"zTXt", b"Description\0\0" + BIG),
        (b"iTXt", b"Description\0\1\0en\0\0" + BIG),
        (b"iCCP", b"profile\0\0" + BIG),
        (b"iCCP", b"profile\0\7" + BIG),
        (b"tEXt", b"Comment\0" + bytes(2_000_000)),
        (b"zTXt", b""),
        (b"acTL", struct.pack(">II", 1, 0)),
    ],
    ids=["text", "international text", "profile", "profile of unknown compression", "plain text", "empty", "one frame"],
)
def test_texts_profiles_and_a_single_frame_change_nothing(chunk):
    still = [(b"fcTL", struct.pack(">IIIIIHHBB", 0, 64, 64, 32, 32, 1, 1, 0, 0))] if chunk[0] == b"acTL" else []
    data = png_of_rows(130, 120, 8, 0, png_rows(film_of(8, 1), 8), chunk, *still)
    assert np.array_equal(pixels_of(data), film()[:120, :130])


def test_pixels_between_which_a_text_stands_are_read():
    data = encode(film(), "PNG")
    place, length = data.index(b"IDAT") - 4, 1000
    body = data[place + 8 : data.index(b"IEND") - 8]
    text = png_of_rows(1, 1, 8, 0, [], (b"tEXt", b"Comment\0here"))[33:][:24]
    assert text[4:8] == b"tEXt"

    def idat(part: bytes) -> bytes:
        return struct.pack(">I", len(part)) + b"IDAT" + part + struct.pack(">I", zlib.crc32(b"IDAT" + part))

    split = data[:place] + idat(body[:length]) + text + idat(body[length:]) + data[data.index(b"IEND") - 4 :]
    assert np.array_equal(pixels_of(split), film())


def exif_text(orientation: int, padding: int = 0) -> bytes:
    """EXIF as ImageMagick writes it into a text: a name, a length, and hexadecimal digits in lines."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    body = exif.tobytes() + bytes(padding)
    return b"Raw profile type exif\0\0" + zlib.compress(b"\nexif\n%8d\n" % len(body) + body.hex().encode() + b"\n")


def test_an_orientation_in_a_text_is_heeded():
    rows = png_rows(film_of(8, 1), 8)
    xmp = b'XML:com.adobe.xmp\0\0\0\0\0<x:xmpmeta><rdf:Description tiff:Orientation="3"/></x:xmpmeta>'
    for chunk in ((b"zTXt", exif_text(3)), (b"iTXt", xmp)):
        assert np.array_equal(pixels_of(png_of_rows(130, 120, 8, 0, rows, chunk)), film()[:120, :130][::-1, ::-1])


def test_an_orientation_in_a_text_that_is_too_long_is_refused_and_not_called_damage():
    data = png_of_rows(130, 120, 8, 0, png_rows(film_of(8, 1), 8), (b"zTXt", exif_text(3, 1_000_000)))
    with pytest.raises(UnsupportedImage, match="metadata"):
        Radiograph.from_bytes(data)


def test_many_texts_together_may_not_be_longer_than_one():
    part = (b"zTXt", exif_text(3, png.MAX_TEXT_BYTES // 8))
    rows = png_rows(film_of(8, 1), 8)
    assert pixels_of(png_of_rows(130, 120, 8, 0, rows, part)).shape == (120, 130)
    with pytest.raises(UnsupportedImage, match="metadata"):
        Radiograph.from_bytes(png_of_rows(130, 120, 8, 0, rows, *[part] * 5))


def test_a_text_that_should_hold_an_orientation_and_holds_nothing_changes_nothing():
    rows = png_rows(film_of(8, 1), 8)
    for chunk in ((b"zTXt", b"Raw profile type exif\0\0no stream"), (b"zTXt", b"Raw profile type exif\0")):
        assert np.array_equal(pixels_of(png_of_rows(130, 120, 8, 0, rows, chunk)), film()[:120, :130])


def test_pngs_that_only_one_makers_devices_show_are_not_called_damaged():
    data = png_of_rows(130, 120, 8, 0, png_rows(film_of(8, 1), 8), (b"CgBI", bytes(4)))
    with pytest.raises(UnsupportedImage, match="Apple"):
        Radiograph.from_bytes(data)
