import numpy as np
import pytest
from PIL import Image

from service.film.film import Radiograph
from service.film.picture import mean_chroma
from tests.support.encoded_films import dicom_file, encode, film, png_16_bit, tiff_file

FILM = film()
GREY_RGB = np.dstack([FILM] * 3)
TINTED = (GREY_RGB * np.array([1.0, 0.8, 0.6])).astype(np.uint8)
DEEP = FILM.astype(np.uint16) * 257


@pytest.mark.parametrize(
    "data",
    [
        *(encode(pixels, name) for pixels in (FILM, GREY_RGB) for name in ("PNG", "JPEG", "TIFF", "BMP", "WEBP")),
        encode(np.dstack([FILM, FILM]), "PNG"),
        encode(np.dstack([GREY_RGB, FILM]), "PNG"),
        png_16_bit(DEEP),
        png_16_bit(np.dstack([DEEP] * 3)),
        tiff_file(DEEP),
        encode(Image.fromarray(FILM).convert("P"), "PNG"),
        dicom_file(FILM),
    ],
)
def test_a_grey_film_has_no_chroma_however_it_is_stored(data):
    assert Radiograph.from_bytes(data, decode_side_px=128).mean_chroma < 1


@pytest.mark.parametrize(
    "data",
    [
        *(encode(TINTED, name) for name in ("PNG", "BMP", "TIFF")),
        encode(TINTED, "WEBP", lossless=True),
        encode(np.dstack([TINTED, FILM * 0]), "PNG"),
        png_16_bit(TINTED.astype(np.uint16) * 257),
        *(encode(TINTED, "JPEG", quality=95, keep_rgb=kept) for kept in (False, True)),
        encode(Image.fromarray(TINTED).convert("CMYK"), "JPEG", quality=95),
        encode(Image.fromarray(TINTED).quantize(256), "PNG"),
    ],
)
@pytest.mark.parametrize("decode_side_px", [None, 100])
def test_a_coloured_picture_has_the_mean_difference_of_its_colours(data, decode_side_px):
    expected = (TINTED.max(axis=2) - TINTED.min(axis=2)).mean()
    assert Radiograph.from_bytes(data, decode_side_px=decode_side_px).mean_chroma == pytest.approx(expected, rel=0.05)


def test_chroma_of_known_colours():
    picture = np.zeros((100, 200, 3), np.uint8)
    picture[:, :100] = 255, 55, 155
    assert mean_chroma(Image.fromarray(picture)) == pytest.approx(100)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "I", "I;16", "F"])
def test_grey_modes_have_none(mode):
    assert mean_chroma(Image.new(mode, (120, 100))) == 0
