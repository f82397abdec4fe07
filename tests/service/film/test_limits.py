"""Sizes beyond the limits are refused before any pixel is decoded."""

import struct

import numpy as np

from service.film.errors import AspectRatioTooExtreme, ImageTooLarge, ImageTooSmall
from service.film.film import Radiograph
from service.film.limits import DecodeLimits
from tests.support.encoded_films import assert_refused, dicom_file, encode, film, png_claiming, tiff_file

FILM = film()


def test_a_forged_header_is_refused_before_any_pixel_is_decoded():
    # Decoding would find the pixels missing and raise UnreadableImage instead, after asking for gigabytes.
    bomb = png_claiming(100_000, 100_000)
    assert len(bomb) < 100
    assert_refused(bomb, ImageTooLarge, "100000 x 100000")
    bitmap = bytearray(encode(FILM, "BMP"))
    bitmap[18:26] = struct.pack("<ii", 60_000, 60_000)
    for data in (bytes(bitmap), dicom_file(FILM, Rows=60_000, Columns=60_000), tiff_file(FILM, tag_256=60_000, tag_257=60_000)):
        assert_refused(data, ImageTooLarge, "60000 x 60000")


def test_limits_include_their_bound():
    limits = DecodeLimits(min_side_px=100, max_pixels=30_000, max_aspect_ratio=3.0)
    assert Radiograph.from_bytes(encode(np.zeros((100, 300), np.uint8), "PNG"), limits=limits).width_px == 300
    assert_refused(encode(np.zeros((99, 200), np.uint8), "PNG"), ImageTooSmall, "at least 100", limits=limits)
    assert_refused(encode(np.zeros((301, 100), np.uint8), "PNG"), AspectRatioTooExtreme, r"3\.01:1", limits=DecodeLimits())
    assert_refused(encode(np.zeros((150, 201), np.uint8), "PNG"), ImageTooLarge, "30000", limits=limits)
