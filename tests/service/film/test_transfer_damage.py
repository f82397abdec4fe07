"""Films that were changed in transit because they were taken for text, and intact films that look a little like such."""

import re

import numpy as np
import pytest

from service.film.errors import InputError, UnreadableImage
from service.film.film import Radiograph
from tests.support.encoded_films import assert_refused, dicom_file, encode, film, pixels_of, png_16_bit, tiff_file, tiff_of

RNG = np.random.default_rng(5)
# Noise, as detectors have: without it, a phantom's files hold few of the bytes that films hold.
FILM = np.clip(film(512).astype(int) + RNG.normal(0, 8, (512, 512)), 0, 255).astype(np.uint8)

FILES = {
    "jpeg": encode(FILM, "JPEG", quality=95),
    "progressive jpeg": encode(FILM, "JPEG", quality=95, progressive=True),
    "png": encode(FILM, "PNG"),
    "deep png": png_16_bit(FILM.astype(np.uint16) * 257),
    "tiff": encode(FILM, "TIFF"),
    "tiff with its directory behind": tiff_file(FILM),
    "deflated tiff": tiff_file(FILM, deflated=True),
    "bmp": encode(FILM, "BMP"),
    "webp": encode(FILM, "WEBP", quality=95),
    "lossless webp": encode(FILM, "WEBP", lossless=True),
    "dicom": dicom_file(FILM),
}

CHANGES = {
    "LF for CR LF": lambda data: data.replace(b"\r\n", b"\n"),
    "CR LF for LF": lambda data: data.replace(b"\n", b"\r\n"),
    "CR LF for every LF": lambda data: data.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"),
    "LF for CR": lambda data: data.replace(b"\r", b"\n"),
    "CR for LF": lambda data: data.replace(b"\n", b"\r"),
    "no CR": lambda data: data.replace(b"\r", b""),
    "no CR nor LF": lambda data: data.translate(None, b"\r\n"),
    "no CR, LF nor zero": lambda data: data.translate(None, b"\r\n\0"),
    "7 bits": lambda data: bytes(byte & 0x7F for byte in data),
    "UTF-8 of Latin-1": lambda data: data.decode("latin-1").encode(),
    "UTF-8 with replacements": lambda data: data.decode("utf-8", "replace").encode(),
    "UTF-16 of Latin-1": lambda data: data.decode("latin-1").encode("utf-16"),
    "UTF-16, big endian, with replacements": lambda data: b"\xfe\xff" + data.decode("utf-8", "replace").encode("utf-16-be"),
    "UTF-16 without a mark": lambda data: data.decode("latin-1").encode("utf-16-le"),
    "question marks": lambda data: data.decode("ascii", "replace").replace("\ufffd", "?").encode(),
}

NOT_CODED = ("tiff", "tiff with its directory behind", "deflated tiff", "bmp", "dicom")
# A grey level becomes its neighbour in some hundred pixels, or a film is refused as damaged.
BARELY_CHANGED = {("LF for CR LF", name) for name in FILES if "png" not in name}
BARELY_CHANGED |= {(how, name) for how in ("LF for CR", "CR for LF", "no CR", "no CR nor LF") for name in NOT_CODED}
# Nothing tells such a film from a dark one.
DARKENED = {(how, name) for how in ("7 bits", "question marks") for name in NOT_CODED if name != "dicom"}


@pytest.mark.parametrize(
    ("name", "how"), [(name, how) for name in FILES for how in CHANGES if (how, name) not in BARELY_CHANGED | DARKENED]
)
def test_a_film_that_was_taken_for_text_is_refused_with_the_cause_and_the_remedy(name, how):
    assert_refused(CHANGES[how](FILES[name]), UnreadableImage, "--data-binary")


def sent_by_curl(data: bytes) -> bytes:
    """As curl 7 reads -d @film: in lines of 255 bytes at most, and of each what stands before its first zero byte, CR or LF."""
    lines = re.findall(rb"[^\n]{0,254}\n|[^\n]{1,255}", data)
    return b"".join(re.split(rb"[\0\r\n]", line, maxsplit=1)[0] for line in lines)


# A DICOM file begins with zero bytes: nothing is left that tells the format.
@pytest.mark.parametrize("data", [dicom_file(FILM), dicom_file(FILM.astype(np.uint16) * 257)])
def test_a_dicom_file_that_lost_its_beginning_to_curl_is_refused_with_the_cause_and_the_remedy(data):
    assert_refused(sent_by_curl(data), UnreadableImage, "--data-binary")


@pytest.mark.parametrize("how", CHANGES)
def test_no_film_that_was_changed_in_transit_is_read_as_another_picture(how):
    for name, data in FILES.items():
        if (how, name) in DARKENED:
            continue
        intact = pixels_of(data).astype(int)
        try:
            read = pixels_of(CHANGES[how](data))
        except InputError:
            continue
        assert np.abs(read - intact).mean() < 3


FLAT = [np.full((700, 700), grey, np.uint8) for grey in (0, 10, 13, 128, 255)]
STRIPES = [np.tile(np.array(pair, np.uint8), (700, 350)) for pair in ((13, 10), (10, 13), (0, 255), (200, 13))]
DARK = np.clip(FILM // 4, 14, 63).astype(np.uint8)
LIKE_LINE_ENDS = [np.full((300, 300), value, np.uint16) for value in (0x0A0D, 0x0D0A, 0x0A0A)]

ODD_BUT_INTACT = {
    **{name: [encode(pixels, name) for pixels in (*FLAT, *STRIPES, DARK)] for name in ("JPEG", "PNG", "TIFF", "BMP", "WEBP")},
    "deep samples like line ends": [tiff_file(deep, byte_order=order) for deep in LIKE_LINE_ENDS for order in "<>"],
    "comments with line ends": [
        encode(pixels, "JPEG", comment=b"line of a text\r\n" * lines) for pixels in (FILM, *FLAT) for lines in (31, 312, 2500)
    ],
    "dark, with a text in UTF-8": [tiff_of((FILM // 4)[:120, :120].tobytes(), {}, 120) + ("胸部X線" * 12).encode()],
}


@pytest.mark.parametrize("name", ODD_BUT_INTACT)
def test_odd_but_intact_films_are_read(name):
    for data in ODD_BUT_INTACT[name]:
        Radiograph.from_bytes(data)


CUT_OFF = [data[:kept] for data in FILES.values() for kept in (150, 1000, len(data) // 2, len(data) - 9)]
HEADS = (b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n", b"II*\0", b"BM", b"RIFF\0\0\0\0WEBP", bytes(128) + b"DICM")
NOISE = [head + RNG.bytes(size) for head in HEADS for size in (60, 3000, 100_000)]


@pytest.mark.parametrize("data", [*CUT_OFF, *NOISE])
def test_a_film_that_was_cut_off_or_is_noise_is_not_said_to_be_changed_in_transit(data):
    try:
        Radiograph.from_bytes(data)
    except InputError as refused:
        assert "--data-binary" not in str(refused)
