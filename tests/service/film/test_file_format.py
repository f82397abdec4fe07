"""Files that are not read: what they are called."""

import base64
import gzip
import json
import struct

import imagecodecs
import numpy as np
import pytest

from service.film.errors import UnsupportedFormat
from service.film.file_format import READABLE_FORMATS
from service.film.film import Radiograph
from tests.support.encoded_films import assert_refused, dicom_file, encode, film

FILM = film()
COLOUR = np.dstack([FILM] * 3)


PNG = encode(FILM, "PNG")
JPEG = encode(FILM, "JPEG")
FORM = b'--b\r\nContent-Disposition: form-data; name="image"; filename="film.png"\r\n\r\n' + PNG + b"\r\n--b--\r\n"

OTHERS = [
    ("empty", b""),
    (r"first bytes (89 50 4e 47)", b"\x89PNG"),
    ("JPEG 2000", imagecodecs.jpeg2k_encode(FILM, codecformat="jp2")),
    ("JPEG 2000", imagecodecs.jpeg2k_encode(FILM, codecformat="j2k")),
    ("JPEG-LS, which is read inside DICOM only", imagecodecs.jpegls_encode(FILM)),
    ("JPEG XL", imagecodecs.jpegxl_encode(FILM)),
    ("JPEG XL", imagecodecs.jpegxl_encode(FILM, usecontainer=True)),
    ("AVIF", imagecodecs.avif_encode(COLOUR)),
    ("HEIC", b"\0\0\0\x1cftypheic" + bytes(200)),
    ("video", b"\0\0\0\x1cftypisom" + bytes(200)),
    ("BigTIFF", b"II+\0\x08\0\0\0" + bytes(200)),
    ("BigTIFF", b"MM\0+\0\x08\0\0" + bytes(200)),
    ("GIF", encode(FILM, "GIF")),
    ("PDF", encode(FILM, "PDF")),
    ("NIfTI", struct.pack("<I", 348).ljust(344, b"\0") + b"n+1\0" + bytes(200)),
    ("ZIP", b"PK\3\4" + bytes(200)),
    ("gzip", gzip.compress(dicom_file(FILM))),
    ("archive", b"film.dcm".ljust(257, b"\0") + b"ustar\0" + bytes(200)),
    ("HTML", b"<!DOCTYPE html><html><body>502 Bad Gateway</body></html>"),
    ("HTML", b"\r\n  <html><head></head></html>"),
    ("XML", b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>'),
    ("JSON", json.dumps({"error": "not found"}).encode()),
    ("text", b"film.png"),
    ("an address", b"http://127.0.0.1/film.png"),
    ("-F instead of -d", b"image=@film.png"),
    ("multipart form", FORM),
    ("text", PNG.hex().encode()),
    ("data: URL", b"data:image/png;base64," + base64.b64encode(PNG)),
    *[
        ("base64", base64.b64encode(data))
        for data in (PNG, JPEG, dicom_file(FILM), *(encode(FILM, name) for name in ("TIFF", "BMP", "WEBP")))
    ],
    ("base64", base64.encodebytes(dicom_file(FILM))),
    *[
        ("JSON that holds base64", json.dumps({"patient": "x", "image": base64.b64encode(data).decode()}).encode())
        for data in (PNG, JPEG, dicom_file(FILM))
    ],
    ("JSON that holds base64", b'{"image": "data:image/png;base64,' + base64.b64encode(PNG)),
    ("base64", b'"' + base64.b64encode(PNG) + b'"'),
]


@pytest.mark.parametrize(("name", "data"), OTHERS, ids=[f"{number} {name}" for number, (name, _) in enumerate(OTHERS)])
def test_a_file_that_is_not_read_is_named_with_what_to_send(name, data):
    with pytest.raises(UnsupportedFormat) as refused:
        Radiograph.from_bytes(data)
    assert name in str(refused.value)
    assert READABLE_FORMATS in str(refused.value)


def test_bytes_that_say_nothing_are_shown():
    assert_refused(b"\x01\x02\x03\xfe" * 50, UnsupportedFormat, r"\(01 02 03 fe\)")


@pytest.mark.parametrize("size", [1, 2, 3])
def test_the_beginning_of_a_film_is_no_format(size):
    for data in (PNG, encode(FILM, "WEBP"), encode(FILM, "TIFF")):
        assert_refused(data[:size], UnsupportedFormat)
