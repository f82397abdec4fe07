import struct
import zlib

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from service.film.errors import UnreadableImage, UnsupportedImage
from service.film.film import Radiograph
from service.film.formats import png
from tests.support.encoded_films import assert_refused, encode, film, pixels_of, png_16_bit, png_chunk, png_file, png_rows

FILM = film()
SMALL = FILM[:120, :130]
DEEP = FILM.astype(np.uint16) * 257
COLOUR = png_16_bit(np.dstack([DEEP] * 3))


def test_chunks_up_to_the_limit_are_read_and_no_more():
    fitting = [(b"IDAT", b"")] * (png.MAX_CHUNKS - 3)  # and header, pixels and end
    coded = zlib.compress(bytes(100 * 101))
    assert pixels_of(png_file(100, 100, 8, 0, coded, *fitting)).shape == (100, 100)
    assert_refused(png_file(100, 100, 8, 0, coded, *fitting, fitting[0]), UnsupportedImage, "50000 chunks")


def test_nothing_but_the_pixels_decides_on_the_grey_values():
    colour = np.random.default_rng(2).integers(0, 1 << 16, (120, 130, 3), dtype=np.uint16)
    plain = png.decode_deep_colour(png_16_bit(colour), 130, 120)
    gamma, transparent = (b"gAMA", struct.pack(">I", 20_000)), (b"tRNS", struct.pack(">HHH", *map(int, colour[9, 9])))
    for chunks in ([gamma], [transparent], ONE_FRAME):
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
    return np.dstack([(SMALL.astype(np.uint32) * ((1 << depth) - 1) // 255).astype(np.uint16)] * channels)


def png_of(samples: np.ndarray, depth: int, colour_type: int, rows: list[bytes], *, interlaced: bool = False) -> bytes:
    palette = [(b"PLTE", PALETTE[: 3 << depth])] if colour_type == 3 else []
    height, width = samples.shape[:2]
    return png_file(width, height, depth, colour_type, zlib.compress(b"".join(rows)), *palette, interlaced=interlaced)


ROWS = png_rows(SMALL[..., None], 8)


def grey_png(*chunks: tuple[bytes, bytes], rows: list[bytes] = ROWS) -> bytes:
    """A PNG that shows SMALL. chunks: before the pixels."""
    return png_file(130, 120, 8, 0, zlib.compress(b"".join(rows)), *chunks)


@pytest.mark.parametrize("interlaced", [False, True], ids=["", "interlaced"])
@pytest.mark.parametrize("height", [119, 120])  # the last pass has odd rows alone
@pytest.mark.parametrize(("depth", "colour_type", "channels"), KINDS)
def test_pixel_data_that_end_early_are_damage_at_every_depth(depth, colour_type, channels, height, interlaced):
    # Pillow takes a stream that ends with a row for a whole film, and leaves the rest black.
    samples = film_of(depth, channels)[:height]
    rows = png_rows(samples, depth, interlaced=interlaced)
    assert pixels_of(png_of(samples, depth, colour_type, rows, interlaced=interlaced)).shape == (height, 130)
    for kept in (1, len(rows) // 2, len(rows) - 1):
        assert_refused(
            png_of(samples, depth, colour_type, rows[:kept], interlaced=interlaced), UnreadableImage, "before its last row"
        )


def test_a_film_of_one_grey_value_is_whole_whichever_it_is():
    for grey in range(256):
        assert np.all(pixels_of(encode(np.full((100, 100), grey, np.uint8), "PNG")) == grey)


def test_data_behind_the_last_row_and_the_last_chunk_are_no_damage():
    assert np.array_equal(pixels_of(grey_png(rows=ROWS + ROWS[:7]) + b"behind the end" * 9), SMALL)


# The end chunk says nothing that the pixels have not said.
@pytest.mark.parametrize("missing", [1, 4, 11, 12])
@pytest.mark.parametrize("samples", [FILM, DEEP, np.dstack([DEEP] * 2), np.dstack([DEEP] * 3), np.dstack([DEEP] * 4)])
def test_a_film_without_the_last_chunk_is_whole_at_every_depth(samples, missing):
    data = encode(samples, "PNG") if samples.dtype == np.uint8 else png_16_bit(samples)
    assert np.array_equal(pixels_of(data[:-missing]), FILM)


def test_a_chunk_of_the_pixels_that_does_not_match_its_checksum_is_damage():
    # PNG specification, 13.2: such an error in a critical chunk is fatal.
    data = encode(FILM, "PNG", compress_level=0)
    end = data.index(b"IEND") - 4
    for offset in (end - 1, end // 2):
        spoilt = bytearray(data)
        spoilt[offset] ^= 1
        assert_refused(bytes(spoilt), UnreadableImage, "again")


BIG = zlib.compress(bytes(2 * PngImagePlugin.MAX_TEXT_CHUNK))
ONE_FRAME = [(b"acTL", struct.pack(">II", 1, 0)), (b"fcTL", struct.pack(">IIIIIHHBB", 0, 64, 64, 32, 32, 1, 1, 0, 0))]
WITHOUT_EFFECT = {
    "text": [(b"zTXt", b"Description\0\0" + BIG)],
    "international text": [(b"iTXt", b"Description\0\1\0en\0\0" + BIG)],
    "profile": [(b"iCCP", b"profile\0\0" + BIG)],
    "profile of unknown compression": [(b"iCCP", b"profile\0\7" + BIG)],
    "plain text": [(b"tEXt", b"Comment\0" + bytes(2_000_000))],
    "empty": [(b"zTXt", b"")],
    "orientation that is no stream": [(b"zTXt", b"Raw profile type exif\0\0no stream")],
    "orientation that is empty": [(b"zTXt", b"Raw profile type exif\0")],
    "one frame": ONE_FRAME,
}


@pytest.mark.parametrize("name", WITHOUT_EFFECT)
def test_texts_profiles_and_a_single_frame_change_nothing(name):
    assert np.array_equal(pixels_of(grey_png(*WITHOUT_EFFECT[name])), SMALL)


def test_pixels_between_which_a_text_stands_are_read():
    data = encode(FILM, "PNG")
    start, end = data.index(b"IDAT") - 4, data.index(b"IEND") - 4
    coded = data[start + 8 : end - 4]
    split = png_chunk(b"IDAT", coded[:1000]) + png_chunk(b"tEXt", b"Comment\0here") + png_chunk(b"IDAT", coded[1000:])
    assert np.array_equal(pixels_of(data[:start] + split + data[end:]), FILM)


def exif_text(orientation: int, padding: int = 0) -> bytes:
    """EXIF as ImageMagick writes it into a text: a name, a length, and hexadecimal digits in lines."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    body = exif.tobytes() + bytes(padding)
    return b"Raw profile type exif\0\0" + zlib.compress(b"\nexif\n%8d\n" % len(body) + body.hex().encode() + b"\n")


def test_an_orientation_in_a_text_is_heeded():
    xmp = b'XML:com.adobe.xmp\0\0\0\0\0<x:xmpmeta><rdf:Description tiff:Orientation="3"/></x:xmpmeta>'
    for chunk in ((b"zTXt", exif_text(3)), (b"iTXt", xmp)):
        assert np.array_equal(pixels_of(grey_png(chunk)), SMALL[::-1, ::-1])


SECOND_HEADER = (b"IHDR", struct.pack(">IIBBBBB", 30_000, 30_000, 16, 2, 0, 0, 0))
REFUSED = {
    "many texts for an orientation": (UnsupportedImage, "metadata", [(b"zTXt", exif_text(3, png.MAX_TEXT_BYTES // 8))] * 5),
    "a long text for an orientation": (UnsupportedImage, "metadata", [(b"zTXt", exif_text(3, 1_000_000))]),
    "Apple's own kind": (UnsupportedImage, "Apple", [(b"CgBI", bytes(4))]),
    "a second header": (UnreadableImage, "more than one header", [SECOND_HEADER]),
}


@pytest.mark.parametrize("name", REFUSED)
def test_chunks_that_no_film_has_are_refused(name):
    kind, words, chunks = REFUSED[name]
    assert_refused(grey_png(*chunks), kind, words)


@pytest.mark.parametrize("bits", [12, 16])
@pytest.mark.parametrize("planes", ["grey, alpha", "RGB", "RGBA"])
def test_16_bit_colour_or_alpha_gives_the_same_film_as_16_bit_grey(planes, bits):
    deep = DEEP >> (16 - bits)
    stacked = {"grey, alpha": [deep, deep * 0], "RGB": [deep] * 3, "RGBA": [deep] * 3 + [deep * 0]}[planes]
    of_grey = Radiograph.from_bytes(png_16_bit(deep))
    of_colour = Radiograph.from_bytes(png_16_bit(np.dstack(stacked)))
    assert np.array_equal(of_colour.pixels, of_grey.pixels)
    assert np.abs(of_colour.pixels.astype(int) - FILM).max() <= 1
    assert (of_colour.format, of_colour.width_px, of_colour.height_px) == ("png", 256, 256)


def test_16_bit_colour_is_weighted_as_8_bit_colour_is():
    colour = np.random.default_rng(1).integers(0, 256, (120, 130, 3), dtype=np.uint8)
    of_16_bit = pixels_of(png_16_bit(colour.astype(np.uint16) * 257))
    of_8_bit = pixels_of(encode(colour, "PNG"))
    assert np.abs(of_16_bit.astype(int) - of_8_bit).max() <= 1
