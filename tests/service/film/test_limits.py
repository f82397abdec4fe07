"""Sizes beyond the limits are refused before any pixel is decoded."""

import struct

import numpy as np
import pytest

from service.film.errors import AspectRatioTooExtreme, ImageTooLarge, ImageTooSmall
from service.film.film import Radiograph
from service.film.limits import DecodeLimits
from tests.support.encoded_films import dicom_file, encode, film, png_claiming

FILM = film()


def test_a_forged_header_is_refused_before_any_pixel_is_decoded():
    bomb = png_claiming(100_000, 100_000)
    assert len(bomb) < 100
    # Decoding would find the pixels missing and raise UnreadableImage instead, after asking for ten gigabytes.
    with pytest.raises(ImageTooLarge, match="100000 x 100000"):
        Radiograph.from_bytes(bomb)


def test_a_forged_bitmap_or_dicom_header_is_refused_before_decoding():
    bitmap = bytearray(encode(FILM, "BMP"))
    bitmap[18:26] = struct.pack("<ii", 60_000, 60_000)
    with pytest.raises(ImageTooLarge):
        Radiograph.from_bytes(bytes(bitmap))
    with pytest.raises(ImageTooLarge):
        Radiograph.from_bytes(dicom_file(FILM, Rows=60_000, Columns=60_000))


def test_limits_include_their_bound():
    limits = DecodeLimits(min_side_px=100, max_pixels=30_000, max_aspect_ratio=3.0)
    assert Radiograph.from_bytes(encode(np.zeros((100, 300), np.uint8), "PNG"), limits=limits).width_px == 300
    with pytest.raises(ImageTooSmall, match="at least 100"):
        Radiograph.from_bytes(encode(np.zeros((99, 200), np.uint8), "PNG"), limits=limits)
    with pytest.raises(AspectRatioTooExtreme, match=r"3\.01:1"):
        Radiograph.from_bytes(encode(np.zeros((301, 100), np.uint8), "PNG"), limits=DecodeLimits())
    with pytest.raises(ImageTooLarge, match="30000"):
        Radiograph.from_bytes(encode(np.zeros((150, 201), np.uint8), "PNG"), limits=limits)
