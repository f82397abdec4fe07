import io
import struct

import numpy as np
import pytest
from PIL import Image

from service.film.errors import UnreadableImage, UnsupportedImage
from service.film.formats.jpeg import structure as jpeg
from service.film.formats.jpeg.reader import is_stored_as_rgb
from tests.support.encoded_films import assert_refused, encode, film, pixels_of

FILM = film()
BASELINE = encode(FILM, "JPEG")
SCAN = b"\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00" + b"\x12\xff\x00\x34\xff\xd0\x56"


def segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def with_segments(*segments: bytes) -> bytes:
    """The baseline film with these segments before its own."""
    return BASELINE[:2] + b"".join(segments) + BASELINE[2:]


def test_coded_data_are_not_bytes_between_segments():
    noise = np.random.default_rng(4).integers(0, 256, (500, 500), dtype=np.uint8)
    data = encode(noise, "JPEG", quality=100, progressive=True)
    assert len(data) > 3 * jpeg.MAX_STRAY_BYTES
    jpeg.read_structure(data)


WITHOUT_EFFECT = {
    "broken profile": segment(0xE2, b"ICC_PROFILE\0"),
    "broken blocks of Photoshop": segment(0xED, b"Photoshop 3.0\0" + b"8BIM\4\x04"),
    "several pictures": segment(0xE2, b"MPF\0"),
    "empty comment": segment(0xFE, b""),
    "scans of a thumbnail": segment(0xEC, SCAN * 100),
    "fill bytes": b"\xff" * 100,
}


@pytest.mark.parametrize("name", WITHOUT_EFFECT)
def test_metadata_change_nothing_even_if_they_are_broken(name):
    assert np.array_equal(pixels_of(with_segments(WITHOUT_EFFECT[name])), pixels_of(BASELINE))


COMMENT = segment(0xFE, b"")
EXIF = segment(0xE1, Image.Exif().tobytes() + bytes(60_000))
OWN_SEGMENTS = 8  # of the baseline film: start, JFIF, two tables, frame, two codes, scan

WITHIN_LIMITS = {
    "scans": b"\xff\xd8" + SCAN * jpeg.MAX_SCANS + b"\xff\xd9",
    "segments": with_segments(COMMENT * (jpeg.MAX_SEGMENTS - OWN_SEGMENTS - 5)),
    "EXIF": with_segments(EXIF * jpeg.MAX_EXIF_SEGMENTS),
}
BEYOND_LIMITS = [
    ("50 scans", b"\xff\xd8" + SCAN * (jpeg.MAX_SCANS + 1) + b"\xff\xd9"),
    ("1000 segments", with_segments(COMMENT * (jpeg.MAX_SEGMENTS - OWN_SEGMENTS + 5))),
    ("8 segments of EXIF", with_segments(EXIF * (jpeg.MAX_EXIF_SEGMENTS + 1))),
    # Zeros, fill bytes, restarts and escapes between segments.
    *[
        ("bytes between segments", with_segments(stray * jpeg.MAX_STRAY_BYTES + b"\0"))
        for stray in (b"\0", b"\xff", b"\xff\xd0", b"\xff\0")
    ],
    # Markers that Pillow reads without a length hide nothing.
    *[
        ("1000 segments", with_segments(bytes((0xFF, marker, 0xFF, 0xFD)) + COMMENT * (jpeg.MAX_SEGMENTS + 1)))
        for marker in (0x01, 0xC8, 0xD8, 0xD9, 0xF0, 0xFD)
    ],
]


@pytest.mark.parametrize("name", WITHIN_LIMITS)
def test_what_is_within_the_limits_passes(name):
    jpeg.read_structure(WITHIN_LIMITS[name])


@pytest.mark.parametrize(("words", "data"), BEYOND_LIMITS, ids=range(len(BEYOND_LIMITS)))
def test_what_would_take_long_to_decode_is_refused(words, data):
    with pytest.raises(UnsupportedImage, match=words):
        jpeg.read_structure(data)


def test_a_file_without_a_scan_is_unreadable():
    assert_refused(b"\xff\xd8\xff" + bytes(1000), UnreadableImage, "no scan")


COLOURS = np.random.default_rng(5).integers(0, 256, (40, 40, 3), dtype=np.uint8).repeat(16, axis=0).repeat(16, axis=1)


@pytest.mark.parametrize("side_px", [80, 200, 640])
@pytest.mark.parametrize(
    "options",
    [{}, {"subsampling": 0}, {"subsampling": 2, "progressive": True}, {"keep_rgb": True}],
    ids=["default", "full colour", "progressive", "stored as RGB"],
)
def test_a_colour_film_has_the_pixels_that_a_grey_decoding_gives(options, side_px):
    data = encode(COLOURS, "JPEG", quality=92, **options)
    grey = Image.open(io.BytesIO(data))
    grey.draft("L", (side_px, side_px))
    assert grey.mode == "L"
    assert np.array_equal(pixels_of(data, decode_side_px=side_px), np.asarray(grey))


def without_marker(data: bytes, marker: int) -> bytes:
    start = data.index(bytes([0xFF, marker]))
    return data[:start] + data[start + 2 + int.from_bytes(data[start + 2 : start + 4], "big") :]


@pytest.mark.parametrize("stored_as_rgb", [False, True])
def test_without_markers_the_components_names_tell_what_they_are(stored_as_rgb):
    data = without_marker(encode(COLOURS, "JPEG", quality=92, keep_rgb=stored_as_rgb), 0xEE if stored_as_rgb else 0xE0)
    assert is_stored_as_rgb(Image.open(io.BytesIO(data))) is stored_as_rgb
    red_to_grey = np.asarray(Image.fromarray(COLOURS).convert("L")).astype(int)
    assert np.abs(pixels_of(data, decode_side_px=640) - red_to_grey).mean() < 4
