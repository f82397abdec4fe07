"""TIFF films, whole and cut off, and the copies of themselves that they may hold."""

import io
import re
import struct
import zlib

import imagecodecs
import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

from service.film.errors import UnreadableImage, UnsupportedImage
from service.film.film import Radiograph, open_film
from service.film.limits import DecodeLimits
from tests.support.encoded_films import assert_refused, encode, film, pixels_of, tiff_file, tiff_of

FILM = film()
DEEP = FILM.astype(np.uint16) * 257
COPY = Image.fromarray(FILM).resize((64, 64))
REDUCED, MASK = 1, 4  # bits of NewSubfileType (TIFF 6.0, section 8)


def pages_of(*pages: tuple[Image.Image, dict[int, int]]) -> bytes:
    """A TIFF of these pages, each with the tags beside it."""
    stream = io.BytesIO()
    with TiffImagePlugin.AppendingTiffWriter(stream) as writer:
        for image, tags in pages:
            image.save(writer, "TIFF", tiffinfo=tags)
            writer.newFrame()
    return stream.getvalue()


WHOLE = (Image.fromarray(FILM), {})
SMALLER_COPY = COPY.resize((32, 32))
WITH_COPIES = {
    "copy": (WHOLE, (COPY, {254: REDUCED})),
    "two copies": (WHOLE, (COPY, {254: REDUCED}), (SMALLER_COPY, {254: REDUCED})),
    "copy first": ((COPY, {254: REDUCED}), WHOLE),
    "old tag": (WHOLE, (COPY, {255: 2})),
    "unmarked": (WHOLE, (COPY, {})),
    "two unmarked": (WHOLE, (COPY, {}), (SMALLER_COPY, {})),
    "mask": (WHOLE, (Image.fromarray(FILM).convert("1"), {254: MASK})),
    "nothing but a copy": ((Image.fromarray(FILM), {254: REDUCED}),),
    "copy of a deep film": ((COPY, {254: REDUCED}), (Image.fromarray(DEEP), {})),
    "copy that lies otherwise": ((COPY, {254: REDUCED, 274: 1}), (Image.fromarray(FILM[::-1, ::-1]), {274: 3})),
}


@pytest.mark.parametrize("name", WITH_COPIES)
def test_a_film_with_reduced_copies_of_itself_is_one_film(name):
    radiograph = Radiograph.from_bytes(pages_of(*WITH_COPIES[name]))
    assert np.array_equal(radiograph.pixels, FILM)
    assert (radiograph.width_px, radiograph.height_px) == (256, 256)


def test_a_film_that_is_decoded_with_its_copies_is_kept_out_of_the_servers_own_process():
    assert open_film(pages_of(WHOLE, (COPY, {})), DecodeLimits()).is_costly
    assert not open_film(pages_of(WHOLE, (COPY, {254: REDUCED})), DecodeLimits()).is_costly


NO_COPIES = {
    "negative": Image.fromarray(255 - FILM).resize((64, 64)),
    "upside down": Image.fromarray(FILM[::-1]).resize((64, 64)),
    "of another shape": Image.fromarray(FILM).resize((64, 80)),
    "hardly smaller": Image.fromarray(FILM).resize((200, 200)),
    "as large": Image.fromarray(FILM),
}


@pytest.mark.parametrize("name", NO_COPIES)
def test_a_further_page_that_is_no_reduced_copy_is_a_second_film(name):
    assert_refused(pages_of(WHOLE, (NO_COPIES[name], {})), UnsupportedImage, "more than one frame or page")


# TIFF 6.0, section 5: colours have 16 bits. Programs of its first years wrote 8, which libtiff still reads.
@pytest.mark.parametrize("bits", [8, 16])
def test_a_palette_of_8_or_16_bit_colours_is_read(bits):
    stream = io.BytesIO()
    Image.fromarray(FILM).convert("P", palette=Image.Palette.ADAPTIVE).save(stream, "TIFF")
    data, expected = stream.getvalue(), pixels_of(stream.getvalue())
    if bits == 8:
        wide = struct.pack("<768H", *Image.open(stream).tag_v2[320])
        assert data.count(wide) == 1
        data = data.replace(wide, struct.pack("<768H", *wide[1::2]))
    assert np.array_equal(pixels_of(data), expected)


def test_signed_samples_without_a_negative_one_are_read():
    assert np.array_equal(pixels_of(tiff_of((FILM // 2).tobytes(), {339: 2})), FILM // 2)


HALF = FILM[:128]
ENDING_EARLY = {
    "Deflate": tiff_of(zlib.compress(HALF.tobytes()), {259: 8}),
    "LZW": tiff_of(imagecodecs.lzw_encode(HALF.tobytes()), {259: 5}),
    "PackBits": tiff_of(imagecodecs.packbits_encode(HALF), {259: 32773}),
    "JPEG": tiff_of(imagecodecs.jpeg8_encode(HALF), {259: 7}),
    "Zstandard": tiff_of(imagecodecs.zstd_encode(HALF.tobytes()), {259: 50000}),
    "LZMA": tiff_of(imagecodecs.lzma_encode(HALF.tobytes()), {259: 34925}),
    "a strip that is missing": tiff_of(FILM.tobytes(), {278: 128}),
    "a strip that is nowhere": tiff_of(FILM.tobytes(), {273: 0}),
}


@pytest.mark.parametrize("name", ENDING_EARLY)
def test_pixel_data_that_end_early_are_damage_in_every_compression(name):
    assert_refused(ENDING_EARLY[name], UnreadableImage, "again")


# ITU-T T.81: the header says how many rows there are, and the end marker stands behind whatever there is.
@pytest.mark.parametrize("strip_bytes", [1 << 14, 1 << 20])
@pytest.mark.parametrize("mode", ["L", "RGB", "YCbCr"])
def test_jpeg_data_that_end_early_are_damage_in_every_strip(mode, strip_bytes):
    image = Image.fromarray(np.dstack([FILM] * 3)).convert(mode)
    data = encode(image, "TIFF", compression="jpeg", strip_size=strip_bytes)
    Radiograph.from_bytes(data)
    starts = [found.start() for found in re.finditer(rb"\xff\xda", data)]
    assert (len(starts) > 1) == (strip_bytes < FILM.size)
    for start in (starts[0], starts[len(starts) // 2], starts[-1]):
        end = data.index(b"\xff\xd9", start)
        kept = start + (end - start) // 2
        spoilt = data[:kept] + b"\xff\xd9" + bytes(end - kept) + data[end + 2 :]
        assert_refused(spoilt, UnreadableImage, "JPEG data end before")


def test_jpeg_of_8_and_12_bits_in_a_tiff_is_read():
    eight = tiff_of(imagecodecs.jpeg8_encode(FILM, level=95), {259: 7})
    twelve = tiff_of(imagecodecs.jpeg8_encode(DEEP >> 4, level=95, bitspersample=12), {258: 12, 259: 7})
    for data in (eight, twelve):
        assert np.abs(pixels_of(data).astype(int) - FILM).mean() < 2


@pytest.mark.parametrize("compression", [None, "tiff_lzw", "jpeg"])
def test_colour_as_luminance_and_differences_is_read(compression):
    colour = Image.fromarray(np.dstack([FILM, FILM, FILM])).convert("YCbCr")
    data = encode(colour, "TIFF", **({"compression": compression} if compression else {}))
    assert np.abs(pixels_of(data).astype(int) - FILM).mean() < 2


@pytest.mark.parametrize("deflated", [False, True])
@pytest.mark.parametrize("byte_order", ["<", ">"])
@pytest.mark.parametrize("photometric", [0, 1], ids=["white is zero", "black is zero"])
@pytest.mark.parametrize("bits", [8, 10, 12, 16])
def test_a_tiff_gives_the_same_film_whatever_its_polarity_depth_and_byte_order(bits, photometric, byte_order, deflated):
    full_range = FILM.copy()
    full_range[0, :2] = 0, 255  # so that the depth shows
    deep = np.rint(full_range / 255 * ((1 << bits) - 1)).astype(np.uint8 if bits == 8 else np.uint16)
    stored = (1 << bits) - 1 - deep if photometric == 0 else deep
    pixels = pixels_of(tiff_file(stored, photometric, byte_order, deflated=deflated))
    assert np.abs(pixels.astype(int) - full_range).max() <= 1


def test_a_tiff_without_the_photometric_tag_is_read_alike_at_every_depth():
    eight = pixels_of(tiff_file(FILM, tag_262=None))
    sixteen = pixels_of(tiff_file(DEEP, tag_262=None))
    assert np.array_equal(sixteen, eight)


def test_grey_values_beyond_16_bit_are_refused():
    assert_refused(encode(Image.fromarray(np.full((120, 120), 70_000, np.int32)), "TIFF"), UnsupportedImage, "65535")
