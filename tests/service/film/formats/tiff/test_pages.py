"""TIFF pages that are slow to read or not read at all, and their limits."""

import io
import struct
import zlib

import imagecodecs
import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

from service.film.errors import ImageTooLarge, UnreadableImage, UnsupportedImage
from service.film.formats.tiff import pages as tiff
from service.film.limits import DecodeLimits
from tests.support.encoded_films import assert_refused, encode, film, pixels_of, tiff_file, tiff_of

FILM = film()
DEEP = FILM.astype(np.uint16) * 257


def in_one_tile(side_px: int) -> bytes:
    """A film of 200 x 200 px in a tile of this side."""
    tile = np.zeros((side_px, side_px), np.uint8)
    tile[:200, :200] = FILM[:200, :200]
    data = tiff_file(tile, deflated=True)
    (length,) = struct.unpack_from("<I", data, len(data) - 8)  # the last entry's value
    without_strips: dict[str, int | None] = {"tag_273": None, "tag_278": None, "tag_279": None}
    tags = {"tag_256": 200, "tag_257": 200, "tag_322": side_px, "tag_323": side_px, "tag_324": 8, "tag_325": length}
    return tiff_file(tile, deflated=True, **without_strips, **tags)


def test_tiles_count_against_the_pixel_limit_as_they_are_decoded():
    limits = DecodeLimits(max_pixels=256 * 256)
    assert np.array_equal(pixels_of(in_one_tile(256), limits=limits), FILM[:200, :200])
    assert_refused(in_one_tile(272), ImageTooLarge, "272 x 272", limits=limits)


@pytest.mark.parametrize("kind", [9, 16], ids=["signed", "of 64 bits"])
def test_tiles_count_whatever_kind_of_number_their_sides_are(kind):
    data = bytearray(in_one_tile(272))
    sides = [data.index(struct.pack("<HHI", tag, 4, 1)) for tag in (322, 323)]
    for entry in sides:
        data[entry + 2 : entry + 4] = struct.pack("<H", kind)
    if kind == 16:  # such a number stands elsewhere
        for entry in sides:
            data[entry + 8 : entry + 12] = struct.pack("<I", len(data))
            data += struct.pack("<Q", 272)
    assert_refused(bytes(data), ImageTooLarge, "272 x 272", limits=DecodeLimits(max_pixels=256 * 256))


def test_the_tiles_of_an_unmarked_copy_count_as_well():
    copy = tiff_of(bytes(64 * 64), {322: 4096, 323: 4096, 324: 8}, 64)
    data = bytearray(tiff_file(FILM))
    data[-4:] = struct.pack("<I", len(data) + struct.unpack_from("<I", copy, 4)[0])
    assert_refused(bytes(data) + copy, ImageTooLarge, "4096 x 4096", limits=DecodeLimits(max_pixels=1_000_000))


@pytest.mark.parametrize("compression", [1, 7, 8])
@pytest.mark.parametrize("side", [256, 257])
def test_a_page_without_columns_or_rows_is_damage(side, compression):
    assert_refused(tiff_file(FILM, **{f"tag_{side}": 0, "tag_259": compression}), UnreadableImage, "damaged")


@pytest.mark.parametrize("kind", [1, 4], ids=["bytes", "longs"])
def test_a_directory_of_a_hundred_thousand_strips_is_refused(kind):
    data = bytearray(tiff_file(FILM)) + bytes(4 * tiff.MAX_VALUES)
    entry = data.index(struct.pack("<HH", 273, 4))
    for count, refused in ((tiff.MAX_VALUES // 2, False), (tiff.MAX_VALUES + 1, True)):
        data[entry : entry + 8] = struct.pack("<HHI", 273, kind, count)
        if refused:
            with pytest.raises(UnsupportedImage, match="fewer strips"):
                tiff.read_pages(bytes(data))
        else:
            tiff.read_pages(bytes(data))


def test_exif_directories_are_never_parsed(monkeypatch):
    data = tiff_file(FILM, tag_34665=8, tag_34853=8, tag_40965=8)
    parsed: list[int] = []
    monkeypatch.setattr(Image.Exif, "get_ifd", lambda _, directory: parsed.append(directory))
    TiffImagePlugin.TiffImageFile(io.BytesIO(data)).load()
    assert parsed, "Pillow parses them of itself"
    parsed.clear()
    assert np.array_equal(pixels_of(data), FILM)
    assert parsed == []


def test_pages_are_not_counted(monkeypatch):
    data = encode(FILM, "TIFF", save_all=True, append_images=[Image.fromarray(FILM)])
    monkeypatch.setattr(TiffImagePlugin.TiffImageFile, "n_frames", property(lambda _: pytest.fail("pages were counted")))
    assert_refused(data, UnsupportedImage, "more than one frame or page")


# Tags by number: 258 bits, 259 compression, 262 meaning, 339 format of samples.
UNREAD = {
    "32-bit floating-point": tiff_of(FILM.astype(np.float32).tobytes(), {258: 32, 339: 3}),
    "16-bit floating-point": tiff_of(FILM.astype(np.float16).tobytes(), {258: 16, 339: 3}),
    "24-bit floating-point": tiff_of(bytes(3 * FILM.size), {258: 24, 339: 3}),
    "64-bit floating-point": tiff_of(FILM.astype(np.float64).tobytes(), {258: 64, 339: 3}),
    "complex numbers": tiff_of(FILM.astype(np.complex64).tobytes(), {258: 64, 339: 6}),
    "undefined format": tiff_of(FILM.tobytes(), {339: 4}),
    "grey values of 10 bits": tiff_of(bytes(256 * 320), {258: 10}),
    "grey values of 64 bits": tiff_of(FILM.astype(np.uint64).tobytes(), {258: 64}),
    "negative": tiff_of((FILM.astype(int) - 128).astype(np.int8).tobytes(), {339: 2}),
    "JPEG 2000": tiff_of(imagecodecs.jpeg2k_encode(FILM), {259: 34712}),
    "LERC": tiff_of(imagecodecs.lerc_encode(FILM), {259: 34887}),
    "WebP": tiff_of(imagecodecs.webp_encode(np.dstack([FILM] * 3)), {259: 50001, 262: 2, 277: 3}),
    "JPEG XL": tiff_of(imagecodecs.jpegxl_encode(FILM), {259: 50002}),
    "JBIG": tiff_of(bytes(100), {259: 34661}),
    "kind 12345": tiff_of(bytes(100), {259: 12345}),
    "CIE Lab": tiff_of(np.dstack([FILM] * 3).tobytes(), {262: 8, 277: 3}),
    "raw data of a camera": tiff_of(DEEP.tobytes(), {258: 16, 262: 32803}),
    "differences": tiff_of(zlib.compress(bytes(256 * 384)), {258: 12, 259: 8, 317: 2}),
    "subsampled colour": tiff_of(bytes(2 * FILM.size), {262: 6, 277: 3, 530: 2 | 1 << 16}),
    "may or may not have differences": tiff_of(imagecodecs.packbits_encode(FILM), {259: 32773, 317: 2}),
    "bits in reverse order": tiff_of(FILM.tobytes(), {262: 0, 266: 2}),
    "two samples of three colours": tiff_of(np.dstack([FILM] * 2).tobytes(), {262: 2, 277: 2}),
    "16-bit colour": tiff_file(np.dstack([DEEP >> 4] * 3), photometric=2),
}


@pytest.mark.parametrize("name", UNREAD)
def test_an_intact_film_that_is_not_read_is_named_and_not_called_damaged(name):
    assert_refused(UNREAD[name], UnsupportedImage, "(not read|negative).*; save it")


WITHOUT_EFFECT = {
    "a long profile": encode(FILM, "TIFF", icc_profile=bytes(tiff.MAX_VALUES + 1)),
    "no offset of a next page": tiff_file(FILM)[:-4],
    "a broken tag": tiff_file(FILM, tag_33432=2**31),
}


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@pytest.mark.parametrize("name", WITHOUT_EFFECT)
def test_what_says_nothing_of_the_pixels_may_be_long_broken_or_missing(name):
    assert np.array_equal(pixels_of(WITHOUT_EFFECT[name]), FILM)
